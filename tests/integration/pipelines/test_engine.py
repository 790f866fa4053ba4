"""An engine that runs pipelines like tasks: calls go in, one outcome for each comes out."""

import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine.base import Call, Event, Feed, Outcome, Timing
from service.engine.local import LocalEngine
from service.errors import (
    Abandoned,
    Cancelled,
    ConfigurationError,
    DeadlineExceeded,
    EngineUnavailable,
    EverycoreError,
    NotSerializable,
    StageFailed,
    Stopping,
)
from service.pipelines.engine import PipelineEngine
from service.tasks import registry, resources
from service.tasks.strict_json import loads
from tests.integration.pipelines.conftest import Pipes, Watch, is_gone, wait_until

MAX_RESULT = 100_000
SLOW = """
import time
from collections.abc import Iterator
from service.tasks import Pipeline, resource

@resource
def model():
    time.sleep(1.5)
    return [1, 2, 3]

def read() -> Iterator[int]:
    yield from model()

def same(number: int) -> int:
    return number

Pipeline("t_with_resource", read, same)
"""


@pytest.fixture
def engine(pipes: Pipes) -> PipelineEngine:
    return PipelineEngine(pipes.engine, processes=10, max_result=MAX_RESULT)


def run(engine: PipelineEngine, *calls: Call | Outcome, **options: Any) -> list[Outcome]:
    return list(engine.run(iter(calls), **({"deadline": math.inf} | options)))


def values(outcomes: list[Outcome]) -> dict[int, Any]:
    """Return the values by index, those of pipelines read from JSON."""
    found = {outcome.index: outcome.result() for outcome in outcomes}
    return {
        index: value if isinstance(value, int | bytearray) else loads(value.content)
        for index, value in found.items()
    }


def sums(index: int, n: int = 3) -> Call:
    return Call("sum_of_squares", {"n": n}, index)


def test_tasks_and_pipelines_can_be_mixed(engine: PipelineEngine) -> None:
    refused = Outcome(4, Timing(0, 0.0, 0.0, 0.0), error=NotSerializable("arguments", "odd"))

    outcomes = run(
        engine,
        sums(0),
        Call("t_plain", {"n": 2}, 1),
        Call("t_plain", {"n": 0}, 2),
        sums(3),
        refused,
        Call("t_total", {"n": 4}, 5),
    )

    assert refused in outcomes
    outcomes.remove(refused)
    assert values(outcomes) == {0: 5, 1: [2, 4], 2: [], 3: 5, 5: [10]}
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3, 5]
    assert all(outcome.ended for outcome in outcomes)


def test_calls_are_taken_no_earlier_than_they_are_needed(engine: PipelineEngine) -> None:
    taken: list[int] = []

    def calls() -> Iterator[Call]:
        for index in range(4):
            taken.append(index)
            yield sums(index) if index % 2 else Call("t_plain", {"n": 1}, index)

    outcomes = engine.run(calls(), deadline=math.inf)
    assert taken == []
    assert next(outcomes).index == 0
    assert taken == [0]
    assert [outcome.index for outcome in outcomes] == [1, 2, 3]


def test_a_feed_is_the_inner_engines(engine: PipelineEngine) -> None:
    reader, writer = os.pipe()
    try:
        (outcome,) = engine.run(Feed(iter([sums(7)]), reader), deadline=math.inf)
    finally:
        os.close(reader)
        os.close(writer)

    assert (outcome.index, outcome.value) == (7, 5)


def test_the_timing_is_that_of_all_processes(engine: PipelineEngine) -> None:
    before = time.monotonic()
    (outcome,) = run(engine, Call("t_burn", {"n": 20}, 0))

    timing = outcome.timing
    assert timing.pid == os.getpid()
    assert before <= timing.queued <= timing.started <= timing.finished <= time.monotonic()
    # Twenty items of 2 ms in each of two stages.
    assert timing.cpu > 0.06


def test_an_error_is_the_outcomes(engine: PipelineEngine) -> None:
    failed, late = run(engine, Call("t_misbehave", {"n": 9}, 0), Call("t_sleeps", {"n": 9}, 1, timeout=0.5))

    assert isinstance(failed.error, StageFailed)
    assert (failed.error.stage, failed.error.item) == ("misbehave", 2)
    assert isinstance(late.error, DeadlineExceeded)
    assert late.timing.run == pytest.approx(0.5, abs=0.3)


def test_a_result_that_grows_too_large_ends_the_run(engine: PipelineEngine, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (outcome,) = run(engine, Call("t_noted", {"path": str(made), "n": 1_000_000}, 0))

    assert isinstance(outcome.error, NotSerializable)
    assert f"more than the {MAX_RESULT} bytes" in str(outcome.error)
    # A number has five digits at most there.
    assert MAX_RESULT / 6 < int(made.read_text()) < MAX_RESULT


def test_what_it_says_has_the_calls_own_number(engine: PipelineEngine) -> None:
    said: list[Event] = []
    run(engine, sums(0), Call("t_says", {"n": 2}, 7, attempt=3), on_event=said.append)

    assert {event.index for event in said} == {7}
    lines = [event.data for event in said if event.kind == "log"]
    assert lines == [{"stream": "stdout", "line": f"working on {number}"} for number in range(2)]


def test_progress_comes_while_nothing_does(engine: PipelineEngine, tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []

    def hear(event: Event) -> None:
        said.append(event.data)
        if event.data["done"] == 1:
            (tmp_path / "go").touch()  # or the second item never comes

    began = time.monotonic()
    run(engine, Call("t_waits", {"path": str(tmp_path / "go")}, 0), on_event=hear)
    seconds = time.monotonic() - began

    assert [told["done"] for told in said] == sorted(told["done"] for told in said)
    assert (said[0]["done"], said[-1]["done"]) == (0, 2)
    assert [stage["name"] for stage in said[0]["stages"]] == ["wait_for", "same"]
    assert said[-1] == {
        "done": 2,
        "total": None,
        "note": "",
        "stages": [
            {"name": "wait_for", "items_in": 0, "items_out": 2, "skipped": 0},
            {"name": "same", "items_in": 2, "items_out": 2, "skipped": 0},
        ],
    }
    assert len(said) <= 3 + 2 * seconds


def test_what_was_left_out_is_told(engine: PipelineEngine) -> None:
    said: list[Event] = []
    (outcome,) = run(
        engine, Call("t_misbehave_alone", {"n": 15}, 0, attempt=1, skip=True), on_event=said.append
    )

    assert values([outcome]) == {0: [number for number in range(15) if number not in (3, 13)]}
    lines = [event.data for event in said if event.kind == "log"]
    assert [line["stream"] for line in lines] == ["system"] * 2
    assert lines[0]["line"].startswith("left out: stage 'misbehave', item 3: the task raised ValueError")
    assert lines[1]["line"].startswith("left out: stage 'misbehave', item 13: ")
    assert said[-1].data["note"] == "2 left out"


def wait_then_run(engine: PipelineEngine, call: Call, **options: Any) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread of its own; return what it says, then its outcome or the error that raised."""
    said: list[Any] = []

    def work() -> None:
        try:
            said.extend(run(engine, call, on_event=lambda event: said.append(event.data), **options))
        except EverycoreError as error:
            said.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, said


class TestRoom:
    """For three processes, of which the first pipeline has two."""

    @pytest.fixture
    def narrow(self, pipes: Pipes) -> PipelineEngine:
        return PipelineEngine(pipes.engine, processes=3, max_result=MAX_RESULT)

    @pytest.fixture
    def go(self, narrow: PipelineEngine, pipes: Pipes, tmp_path: Path) -> Iterator[Path]:
        """Return the file that the first one waits for."""
        go = tmp_path / "go"
        thread, said = wait_then_run(narrow, Call("t_waits", {"path": str(go)}, 0))
        wait_until(lambda: said and said[-1]["done"] == 1)
        yield go
        go.touch()
        thread.join(20)
        assert said[-1].error is None

    def test_who_has_none_waits_for_it_and_its_time_does_not_begin(
        self, narrow: PipelineEngine, go: Path
    ) -> None:
        thread, said = wait_then_run(narrow, Call("t_plain", {"n": 1}, 1, timeout=0.4))
        wait_until(lambda: said)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() > began + 0.5)
        (told,) = said
        go.touch()
        thread.join(20)

        assert (told["done"], told["note"], told["stages"]) == (0, "waits for other pipelines", [])
        assert values(said[-1:]) == {1: [2]}
        assert said[-2]["note"] == ""

    def test_a_task_needs_none(self, narrow: PipelineEngine, go: Path) -> None:
        assert values(run(narrow, sums(0))) == {0: 5}
        assert not go.exists()

    def test_who_waits_can_hang_up(self, narrow: PipelineEngine, go: Path) -> None:
        ours, engines = socket.socketpair()
        with engines:
            thread, said = wait_then_run(narrow, Call("t_plain", {"n": 1}, 1), hangup_fd=engines.fileno())
            wait_until(lambda: said)
            ours.close()
            thread.join(20)

        assert isinstance(said[-1], Abandoned)
        assert not go.exists()

    def test_the_deadline_of_all_holds_for_those_who_wait(self, narrow: PipelineEngine, go: Path) -> None:
        thread, said = wait_then_run(narrow, Call("t_plain", {"n": 1}, 1), deadline=time.monotonic() + 0.3)
        thread.join(20)

        assert isinstance(said[-1].error, DeadlineExceeded)
        assert (said[-1].error.started, said[-1].timing.pid) == (False, 0)
        assert not go.exists()

    def test_more_than_there_ever_is_can_t_be_had(self, pipes: Pipes) -> None:
        narrow = PipelineEngine(pipes.engine, processes=2, max_result=MAX_RESULT)

        with pytest.raises(ConfigurationError, match="3 processes are needed"):
            run(narrow, Call("t_plain", {"n": 1}, 0))


class TestEnd:
    def test_of_a_connection_kills_everything(
        self, engine: PipelineEngine, pipes: Pipes, watch: Watch, tmp_path: Path
    ) -> None:
        ours, engines = socket.socketpair()
        with engines:
            call = Call("t_waits", {"path": str(tmp_path / "never")}, 0)
            thread, said = wait_then_run(engine, call, hangup_fd=engines.fileno())
            wait_until(lambda: said and said[-1]["done"] == 1)
            processes = pipes.busy
            ours.close()
            thread.join(20)

        assert isinstance(said[-1], Abandoned)
        assert len(processes) == 2
        assert all(is_gone(process.pid) for process in processes)
        watch.assert_nothing_is_left()

    @pytest.mark.parametrize("task", ["t_plain", "t_misbehave", "t_producer_dies"])
    def test_of_a_run_leaves_nothing(self, engine: PipelineEngine, watch: Watch, task: str) -> None:
        run(engine, sums(0), Call(task, {"n": 9}, 1), sums(2))

        watch.assert_nothing_is_left()

    def test_by_closing_what_has_not_begun(self, engine: PipelineEngine, watch: Watch) -> None:
        outcomes = engine.run(iter([Call("t_plain", {"n": 1}, 0), sums(1)]), deadline=math.inf)
        next(outcomes)
        outcomes.close()

        assert list(outcomes) == []
        watch.assert_nothing_is_left()

    def test_of_the_engine_ends_what_waits_and_what_comes(
        self, make_pipes: Callable[..., Pipes], tmp_path: Path
    ) -> None:
        closed = PipelineEngine(make_pipes().engine, processes=2, max_result=MAX_RESULT)
        first, of_first = wait_then_run(closed, Call("t_waits", {"path": str(tmp_path / "never")}, 0))
        wait_until(lambda: of_first and of_first[-1]["done"] == 1)
        second, of_second = wait_then_run(closed, Call("t_waits", {"path": str(tmp_path / "never")}, 1))
        wait_until(lambda: of_second)

        closed.close()
        for thread in (first, second):
            thread.join(20)

        assert closed.closed
        assert isinstance(getattr(of_first[-1], "error", of_first[-1]), Cancelled | Stopping)
        assert isinstance(of_second[-1], Stopping)
        with pytest.raises(Stopping):
            run(closed, Call("t_plain", {"n": 1}, 2))


def test_the_time_that_others_take_to_load_something_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_pipelines.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(resources, "_resources", {})
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    registry.load(["slow_pipelines"])
    local = LocalEngine(modules=["slow_pipelines"], processes=4, cpu_slots=2, runtime_dir=tmp_path / "run")
    engine = PipelineEngine(local, processes=4, max_result=MAX_RESULT)
    call = Call("t_with_resource", {}, 0, timeout=0.7)
    try:
        with pytest.raises(EngineUnavailable, match="not loaded in time"):
            run(engine, call)
        local.warm()
        wait_until(lambda: engine.ready)
        assert values(run(engine, call)) == {0: [1, 2, 3]}
    finally:
        local.close()
        sys.modules.pop("slow_pipelines")
