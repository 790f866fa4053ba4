"""How many items a second go through stages that take their time, in several ways."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

from loadtests import pipelines_by_hand as by_hand
from loadtests import pipelines_tasks as tasks
from loadtests import pipelines_ways as ways
from loadtests.pipelines_cases import EVEN, expect
from loadtests.pipelines_tasks import STAGES, WIDTHS, Load
from loadtests.pipelines_ways import ALONE, BY_HAND, MAP, ONE_TASK, PIPELINE, Bench, Measure

#: How several processes of a stage may pass their results on.
ORDERS = ("ordered", "unordered")


def in_stages(bench: Bench, name: str, pipeline: str) -> dict[str, float]:
    """Items a second of a pipeline."""
    case = bench.cases[name]
    return {name: _rate(case.answers, ways.values(bench.engines.pipeline(pipeline, items=case.items)))}


def in_stages_watched(bench: Bench, name: str, pipeline: str) -> dict[str, float]:
    """Items a second of a pipeline, and percent of the time for which its slowest stage had work in hand."""
    case = bench.cases[name]
    run = bench.engines.pipeline(pipeline, items=case.items)
    rate = _rate(case.answers, ways.values(run))
    busiest = max(stage.busy for stage in run.report())
    return {name: rate, f"{name}_busy": 100 * busiest * rate / len(case.items)}


def through_queues(bench: Bench, name: str, pipeline: str) -> dict[str, float]:
    """Items a second of the same stages, built by hand."""
    case = bench.cases[name]
    return {name: _rate(case.answers, by_hand.run(tasks.loads, {"items": case.items}, STAGES[pipeline]))}


def one_stage(bench: Bench, name: str, task: str) -> dict[str, float]:
    """Items a second of the heavy stage alone."""
    case = bench.cases[name]
    return {name: _rate(case.alone, bench.engines.alone(task, case.items, 1))}


def one_map(bench: Bench, name: str, pipeline: str) -> dict[str, float]:
    """Items a second, each through all stages in one process, on every core."""
    case = bench.cases[name]
    return {name: _rate(case.answers, bench.engines.map(pipeline, case.items))}


def one_task(bench: Bench, name: str, pipeline: str) -> dict[str, float]:
    """Items a second, all stages for all of them in one process."""
    case = bench.cases[name]
    return {name: _rate(case.answers, bench.engines.one_task(pipeline, case.items))}


def several(bench: Bench, width: int) -> dict[str, float]:
    """Items a second of one stage that several processes share, uneven as the items are."""
    case = bench.cases[f"uneven_{width}"]
    rates = {}
    for order in ORDERS:
        results = ways.values(bench.engines.pipeline(f"bench.{order}_{width}", items=case.items))
        rates[f"{order}_{width}"] = _rate(case.answers, results, in_order=order == "ordered")
    return rates


def several_alone(bench: Bench, width: int) -> dict[str, float]:
    """Items a second of the same stage as a map."""
    case = bench.cases[f"uneven_{width}"]
    rate = _rate(case.alone, bench.engines.alone("bench.wait_heavily", case.items, width))
    return {f"{order}_{width}": rate for order in ORDERS}


def _rate(answers: list[int], results: Iterator[Load], *, in_order: bool = True) -> float:
    """Return the results a second; they begin when the first is asked for, and must be the answers."""
    begun = time.perf_counter()
    made = [load.value for load in results]
    took = time.perf_counter() - begun
    if in_order:
        expect(made, answers)
    else:
        expect(sorted(made), sorted(answers))
    return len(answers) / took


def _ways_of(name: str, pipeline: str) -> dict[str, Measure]:
    """Return the ways that do all of the work."""
    measures = {PIPELINE: in_stages, MAP: one_map, ONE_TASK: one_task}
    return {
        way: functools.partial(measure, name=name, pipeline=pipeline) for way, measure in measures.items()
    }


def _beside_its_slowest(name: str) -> dict[str, Measure]:
    return {
        PIPELINE: functools.partial(in_stages_watched, name=name, pipeline=f"bench.{name}"),
        BY_HAND: functools.partial(through_queues, name=name, pipeline=f"bench.{name}"),
        ALONE: functools.partial(one_stage, name=name, task=f"bench.{name}_heavily"),
    }


def _in_order_or_not(width: int) -> dict[str, Measure]:
    return {
        PIPELINE: functools.partial(several, width=width),
        ALONE: functools.partial(several_alone, width=width),
    }


COMPARISONS: tuple[dict[str, Measure], ...] = (
    *map(_beside_its_slowest, ("burn", "wait")),
    *map(_in_order_or_not, WIDTHS),
    *(_ways_of(f"even_{each}", "bench.even") for each in EVEN),
    _ways_of("mixed", "bench.mixed"),
)
