"""What becomes of a run when its processes end, one way or another; here nobody works in them."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import pytest

from service.engine.base import Call, Feed, Outcome, Outcomes, Timing
from service.engine.board import BEGUN, NUMBER, TAKING
from service.engine.channel import Writer
from service.engine.failures import FAILED
from service.engine.parcels import Lost, pack
from service.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    MemoryLimitExceeded,
    StageFailed,
    TaskCrashed,
    TaskFailed,
)
from service.pipelines.run import IDLE_DEATHS, Item, PipelineRun, Skipped
from service.tasks import Pipeline, Stage, registry

#: Rows of the processes.
PRODUCER, FIRST, SECOND, LAST = range(4)
LIMIT = 5.0


def produce() -> Iterator[int]:
    """Yield nothing here."""
    yield 0


def work(number: int) -> int:
    """Do nothing here."""
    return number


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    registry.load()
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    several = Stage(work, processes=2, timeout=LIMIT, name="several")
    return Pipeline("t_unit", produce, several, Stage(work, name="last"))


class Script:
    """An engine whose processes end as the test says: some of them at each step."""

    def __init__(self, *steps: list[Outcome] | Callable[[], list[Outcome]]) -> None:
        self.steps = steps
        self.calls: list[Call] = []
        self.closed_early = False

    def run(self, feed: Feed, **options: Any) -> Outcomes:
        ready: deque[Outcome] = deque()
        return Outcomes(self._outcomes(feed, ready), ready)

    def _outcomes(self, feed: Feed, ready: deque[Outcome]) -> Generator[Outcome, None, None]:
        self.closed_early = True
        for step in self.steps:
            self._ask(feed, ready)
            ready.extend(step() if callable(step) else step)
            while ready:
                yield ready.popleft()
        self._ask(feed, ready)
        while ready:
            yield ready.popleft()
        self.closed_early = False

    def _ask(self, feed: Feed, ready: deque[Outcome]) -> None:
        while (given := next(feed.calls, None)) is not None:
            if isinstance(given, Call):
                self.calls.append(given)
            else:
                ready.append(given)


def ended(row: int, error: CallError | None = None) -> Outcome:
    return Outcome(row, Timing(1, 0.0, 0.0, 0.0), error=error)


def crashed(exit_code: int = -signal.SIGKILL) -> TaskCrashed:
    return TaskCrashed(1, exit_code)


ALL_END = [ended(row) for row in range(4)]


class Runs:
    """A run with a script."""

    def __init__(self, pipeline: Pipeline, *steps: Any, skip: bool = True, within: float = 60.0) -> None:
        self.engine = Script(*steps)
        self.run = PipelineRun(
            self.engine,  # type: ignore[arg-type]
            pipeline,
            {},
            deadline=time.monotonic() + within,
            skip=skip,
        )
        self.board = self.run._wiring.board

    def set(self, row: int, word: int, value: int) -> None:
        self.board.ints[self.board.at(row) + word] = value

    def send(self, *numbers: int, lost: Lost | None = None) -> None:
        """Have the last stage pass something on."""
        with closing(Writer(os.dup(self.run._wiring._writers[-1].fileno()))) as writer:
            for number in numbers:
                writer.put((number, number, *(pack(10 * number) if lost is None else (lost, ()))))

    def result(self) -> tuple[list[Item | Skipped], Exception | None]:
        found: list[Item | Skipped] = []
        try:
            for each in self.run:
                found.append(each)  # noqa: PERF402 - those before an error count, too
        except CallError as error:
            return found, error
        return found, None


def test_when_all_have_ended_it_is_over(pipeline):
    runs = Runs(pipeline, ALL_END)
    assert runs.result() == ([], None)
    assert [call.index for call in runs.engine.calls] == [0, 1, 2, 3]
    assert [call.args for call in runs.engine.calls] == [{}] * 4


def test_what_was_passed_on_is_found(pipeline):
    def pass_on():
        runs.send(0, 1, 2)
        return []

    runs = Runs(pipeline, pass_on, [], ALL_END)
    assert runs.result() == ([Item(0, 0), Item(1, 10), Item(2, 20)], None)


@pytest.mark.parametrize("error", [crashed(), DeadlineExceeded(LIMIT, started=True), MemoryLimitExceeded(1)])
def test_another_takes_the_place_of_one_that_died(pipeline, error):
    def die():
        runs.set(SECOND, NUMBER, 7)
        return [ended(SECOND, error)]

    runs = Runs(pipeline, die, [ended(row) for row in (0, 1, 2, 3)])
    found, failure = runs.result()
    assert failure is None
    (skipped,) = found
    assert isinstance(skipped, Skipped)
    assert (skipped.error.stage, skipped.error.item, skipped.error.cause) == ("several", 7, error)
    assert [call.index for call in runs.engine.calls] == [0, 1, 2, 3, SECOND]
    assert runs.run.report()[1].skipped == 1


def test_one_that_died_while_it_took_an_item_may_have_taken_it_along(pipeline):
    def die():
        runs.set(FIRST, TAKING, 1)
        return [ended(FIRST, crashed())]

    runs = Runs(pipeline, die, ALL_END)
    found, failure = runs.result()
    assert failure is None
    assert [skipped.error.item for skipped in found if isinstance(skipped, Skipped)] == [None]
    assert runs.run.report()[1].skipped == 1


def test_one_that_had_nothing_took_nothing_along_but_may_not_die_too_often(pipeline):
    deaths = [[ended(FIRST, crashed())]] * IDLE_DEATHS
    runs = Runs(pipeline, *deaths, ALL_END)
    assert runs.result() == ([], None)
    assert len(runs.engine.calls) == 4 + IDLE_DEATHS
    runs = Runs(pipeline, *deaths, [ended(SECOND, crashed())], ALL_END)
    found, failure = runs.result()
    assert not found
    assert isinstance(failure, StageFailed)
    assert (failure.stage, failure.item) == ("several", None)
    assert runs.engine.closed_early


@pytest.mark.parametrize(("row", "skip"), [(PRODUCER, True), (FIRST, False)])
def test_what_can_not_be_left_out_ends_the_run(pipeline, row, skip):
    def die():
        runs.set(row, NUMBER, 3)
        return [ended(row, crashed())]

    runs = Runs(pipeline, die, ALL_END, skip=skip)
    found, failure = runs.result()
    assert not found
    assert isinstance(failure, StageFailed)
    assert (failure.stage, failure.item) == ("produce" if row == PRODUCER else "several", 3)
    assert runs.engine.closed_early


def test_an_error_that_is_not_left_out_by_its_stage_ends_the_run(pipeline):
    runs = Runs(pipeline, [ended(FIRST, TaskFailed("OSError", "no more"))], ALL_END)
    _, failure = runs.result()
    assert isinstance(failure, StageFailed)
    assert isinstance(failure.cause, TaskFailed)


@pytest.mark.parametrize(
    ("row", "cause"),
    [(FIRST, DeadlineExceeded), (LAST, TaskCrashed)],
    ids=["of a stage with a limit", "of one without"],
)
def test_the_kernel_s_timer_stands_for_a_limit(pipeline, row, cause):
    runs = Runs(pipeline, [ended(row, crashed(-signal.SIGALRM))], skip=False)
    _, failure = runs.result()
    assert isinstance(failure, StageFailed)
    assert type(failure.cause) is cause
    if isinstance(failure.cause, DeadlineExceeded):
        assert failure.cause.limit == LIMIT


def test_behind_the_deadline_the_timer_stands_for_that(pipeline):
    def die():
        while time.monotonic() < runs.run._deadline:
            time.sleep(0.01)
        return [ended(FIRST, crashed(-signal.SIGALRM))]

    runs = Runs(pipeline, die, within=0.05)
    _, failure = runs.result()
    assert isinstance(failure, DeadlineExceeded)
    assert failure.limit == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("skip", [True, False])
def test_what_is_cancelled_is_no_fault_of_a_stage(pipeline, skip):
    runs = Runs(pipeline, [ended(FIRST, Cancelled())], ALL_END, skip=skip)
    assert isinstance(runs.result()[1], Cancelled)


def test_all_that_has_arrived_comes_before_an_error_and_in_order(pipeline):
    def pass_on_and_die():
        runs.send(0, 1)
        found: deque[Outcome] = deque()
        # As if they had arrived just before and just after the error.
        found.extend(runs.run._arrived())
        found.append(ended(PRODUCER, crashed()))
        runs.send(2, 3)
        found.extend(runs.run._arrived())
        runs.send(4, 5)
        return list(found)

    runs = Runs(pipeline, pass_on_and_die, ALL_END)
    found, failure = runs.result()
    assert isinstance(failure, StageFailed)
    assert found == [Item(number, 10 * number) for number in range(6)]


@pytest.mark.parametrize("skip", [True, False])
def test_an_item_that_is_left_out_is_told(pipeline, skip):
    lost = Lost(1, FAILED, ("ValueError", "no", "trace", ()))

    def pass_on():
        runs.send(0)
        runs.send(1, lost=lost)
        runs.send(2)
        return []

    runs = Runs(pipeline, pass_on, [], ALL_END, skip=skip)
    found, failure = runs.result()
    assert [item.number for item in found if isinstance(item, Item)] == [0, 2]
    told = found[1].error if isinstance(found[1], Skipped) else failure
    assert isinstance(told, StageFailed)
    assert (told.stage, told.item, str(told.cause)) == ("several", 1, "ValueError: no")


def test_the_end_of_the_results_is_the_end(pipeline):
    """Whatever the stages before still do."""
    runs = Runs(pipeline, [ended(LAST)], *[[]] * 1000)
    assert runs.result() == ([], None)
    assert runs.engine.closed_early


def test_the_time_of_one_that_died_counts(pipeline):
    def die():
        runs.set(FIRST, NUMBER, 1)
        runs.board.floats[runs.board.at(FIRST) + BEGUN] = time.monotonic() - 3
        return [ended(FIRST, crashed())]

    runs = Runs(pipeline, die, ALL_END)
    runs.result()
    assert runs.run.report()[1].busy == pytest.approx(3, abs=1)


def test_without_a_deadline(pipeline):
    assert Runs(pipeline, ALL_END, within=math.inf).result() == ([], None)
