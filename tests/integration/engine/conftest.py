"""A local engine with real processes, two slots and the hostile tasks."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.base import Call, Outcome
from service.engine.local import LocalEngine
from service.tasks import registry

TASKS = "tests.integration.engine.hostile_tasks"


@pytest.fixture
def make_engine(tmp_path: Path) -> Iterator[Callable[..., LocalEngine]]:
    """Make engines that share one budget of slots; they are closed at the end of the test."""
    registry.load([TASKS])
    engines: list[LocalEngine] = []

    def make(**changes: Any) -> LocalEngine:
        arguments: dict[str, Any] = {
            "modules": [TASKS],
            "processes": 8,
            "cpu_slots": 2,
            "runtime_dir": tmp_path / "run",
        }
        engines.append(LocalEngine(**(arguments | changes)))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(make_engine: Callable[..., LocalEngine]) -> LocalEngine:
    return make_engine()


class Runner:
    """Short words for the tests."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    def outcomes(self, calls: Iterable[Call], within: float = 30, **kwargs: Any) -> Iterator[Outcome]:
        return self.engine.run(calls, deadline=time.monotonic() + within, **kwargs)

    def outcome(self, task: str, within: float = 30, timeout: float | None = None, **args: Any) -> Outcome:
        (outcome,) = self.outcomes([Call(task, args, timeout=timeout)], within)
        return outcome

    def result(self, task: str, within: float = 30, **args: Any) -> Any:
        return self.outcome(task, within, **args).result()

    def error(self, task: str, within: float = 30, timeout: float | None = None, **args: Any) -> Any:
        outcome = self.outcome(task, within, timeout, **args)
        assert outcome.error is not None, outcome
        return outcome.error

    def results(self, task: str, arguments: Iterable[dict[str, Any]], within: float = 30) -> list[Any]:
        """Return the results in the order of the arguments."""
        calls = [Call(task, args, index) for index, args in enumerate(arguments)]
        outcomes = sorted(self.outcomes(calls, within), key=lambda outcome: outcome.index)
        assert [outcome.index for outcome in outcomes] == list(range(len(calls)))
        return [outcome.result() for outcome in outcomes]


@pytest.fixture
def run(engine: LocalEngine) -> Runner:
    return Runner(engine)


@pytest.fixture
def run_on() -> Callable[[LocalEngine], Runner]:
    return Runner
