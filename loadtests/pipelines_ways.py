"""The ways to have items go through functions that ``bench_pipelines`` compares, all of them standing ready.

pipeline   a process for each stage, by ``PipelineRun``
by hand    a process and a queue for each stage, new ones for each run
alone      the slowest stage only, as a map that has as many processes as this stage
map        all stages for each item, one item beside the other, on every core
one task   all stages for all items, in one process
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests import pipelines_tasks
from loadtests.pipelines_cases import Case
from loadtests.pipelines_plan import Plan
from loadtests.pipelines_tasks import WIDTHS, Load
from service.cpus import available_cpus
from service.engine.base import Call
from service.engine.local import LocalEngine
from service.pipelines.run import Item, PipelineRun
from service.tasks import registry

PIPELINE, BY_HAND, ALONE, MAP, ONE_TASK = "pipeline", "by hand", "slowest alone", "map", "one task"
#: In the order of the table.
WAYS = (PIPELINE, BY_HAND, ALONE, MAP, ONE_TASK)

#: Seconds after which a run is given up.
PATIENCE = 60.0
#: Processes of the pool that pipelines run on; none here needs more.
_PROCESSES = 8


class Engines:
    """Everycore's engines: one for whole pipelines, and one for each number of processes of a stage alone."""

    def __init__(self, stack: ExitStack) -> None:
        """Start nothing yet; ``stack`` closes them."""
        cpus = available_cpus()
        self.whole = stack.enter_context(engine(_PROCESSES, cpus))
        self._alone = {1: stack.enter_context(engine(1, 1))}
        for width in WIDTHS:
            # Of these processes one is kept for calls that compute; the stages alone that have several wait.
            self._alone[width] = stack.enter_context(engine(width + 1, 1))

    def pipeline(self, name: str, **args: Any) -> PipelineRun:
        """Return a run that has not started yet."""
        return pipeline(self.whole, name, **args)

    def alone(self, task: str, items: Sequence[Load], width: int) -> Iterator[Load]:
        """Yield what one stage makes of the items, in their order."""
        return _mapped(self._alone[width], task, [{"load": load} for load in items])

    def map(self, stages: str, items: Sequence[Load]) -> Iterator[Load]:
        """Yield what all stages make of the items, in their order, each item being one call."""
        return _mapped(self.whole, "bench.through", [{"stages": stages, "load": load} for load in items])

    def one_task(self, stages: str, items: Sequence[Load]) -> Iterator[Load]:
        """Yield the same from one call."""
        for answers in _mapped(self.whole, "bench.all_through", [{"stages": stages, "items": list(items)}]):
            yield from answers


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement needs."""

    engines: Engines
    plan: Plan
    cases: dict[str, Case]


#: Measures something in one of the ways, and returns its figures.
Measure = Callable[[Bench], dict[str, float]]


@contextmanager
def engine(processes: int, cpu_slots: int) -> Iterator[LocalEngine]:
    """Have an engine that shares nothing with others."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-pipelines-") as directory,
        closing(
            LocalEngine(
                modules=[pipelines_tasks.__name__],
                processes=processes,
                cpu_slots=cpu_slots,
                runtime_dir=Path(directory),
                idle_seconds=600.0,
            )
        ) as made,
    ):
        yield made


def pipeline(engine: LocalEngine, name: str, **args: Any) -> PipelineRun:
    """Return a run of a pipeline that has not started yet."""
    definition = registry.get(name).pipeline
    assert definition is not None
    return PipelineRun(engine, definition, args, deadline=time.monotonic() + PATIENCE)


def values(run: PipelineRun) -> Iterator[Any]:
    """Yield the results of a run; none may be left out."""
    for result in run:
        assert isinstance(result, Item)
        yield result.value


def no_ops(engine: LocalEngine) -> PipelineRun:
    """Return a run of one no-op through three stages."""
    return pipeline(engine, "bench.noops_3", n=1)


def call(engine: LocalEngine) -> None:
    """Have an engine answer one call, for which it starts a process."""
    list(_mapped(engine, "bench.all_through", [{"stages": "bench.even", "items": []}]))


def _mapped(engine: LocalEngine, task: str, args: Sequence[dict[str, Any]]) -> Iterator[Any]:
    calls = (Call(task, of_one, index) for index, of_one in enumerate(args))
    results: dict[int, Any] = {}
    for outcome in engine.run(calls, deadline=time.monotonic() + PATIENCE):
        results[outcome.index] = outcome.result()
    yield from (results[index] for index in range(len(args)))
