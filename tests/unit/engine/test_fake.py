"""The engine that other tests use keeps the promises of the real one."""

from __future__ import annotations

import math
import time

import pytest

from service.engine.base import Call, Engine, Event
from service.engine.fake import FakeEngine
from service.errors import DeadlineExceeded, MemoryLimitExceeded, Saturated, Stopping, TaskCrashed, TaskFailed
from service.tasks import attempt, log, progress, registry, task


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register what these tests run."""
    monkeypatch.setattr(registry, "_tasks", {})

    @task()
    def double(n: int) -> int:
        progress(n, note="doubling")
        return 2 * n

    @task()
    def divide(n: int) -> float:
        return 1 / n

    @task()
    def hoard() -> None:
        raise MemoryError

    @task()
    def wait() -> None:
        time.sleep(0.3)

    @task()
    def say() -> int:
        print("printed")
        log("logged")
        return attempt()


def test_calls_run_in_order_and_are_remembered() -> None:
    engine: Engine = FakeEngine()
    calls = [Call("double", {"n": n}, index=n) for n in range(3)]

    outcomes = list(engine.run(calls, deadline=math.inf))

    assert [(outcome.index, outcome.result()) for outcome in outcomes] == [(0, 0), (1, 2), (2, 4)]
    assert engine.calls == calls  # type: ignore[attr-defined]
    assert all(o.timing.queued <= o.timing.started <= o.timing.finished for o in outcomes)


def test_calls_are_taken_one_at_a_time() -> None:
    endless = (Call("double", {"n": n}) for n in iter(int, 1))

    outcomes = FakeEngine().run(endless, deadline=math.inf)

    assert next(outcomes).value == 0


def test_a_failure_is_one_calls_own() -> None:
    calls = [Call("divide", {"n": 0}), Call("hoard"), Call("double", {"n": 1})]

    failed, hoarded, fine = FakeEngine().run(calls, deadline=math.inf)

    assert isinstance(failed.error, TaskFailed)
    assert (failed.error.exception, failed.error.message) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / n" in failed.error.traceback
    assert failed.error.bases[:2] == ("builtins.ZeroDivisionError", "builtins.ArithmeticError")
    assert isinstance(hoarded.error, MemoryLimitExceeded)
    assert fine.result() == 2


def test_a_deadline_ends_what_runs_and_does_not_start_what_waits() -> None:
    calls = [Call("wait"), Call("wait")]

    ran, waited = FakeEngine().run(calls, deadline=time.monotonic() + 0.2)

    assert isinstance(ran.error, DeadlineExceeded)
    assert ran.error.started
    assert isinstance(waited.error, DeadlineExceeded)
    assert not waited.error.started


def test_errors_can_be_ordered() -> None:
    engine = FakeEngine({"double": TaskCrashed(7, -11), "divide": Saturated("full", 2.5)})

    (crashed,) = engine.run([Call("double", {"n": 1})], deadline=math.inf)

    assert isinstance(crashed.error, TaskCrashed)
    with pytest.raises(Saturated):
        next(engine.run([Call("divide", {"n": 1})], deadline=math.inf))


def test_a_task_says_something_while_it_runs() -> None:
    heard: list[Event] = []

    list(FakeEngine().run([Call("double", {"n": 4}, index=9)], deadline=math.inf, on_event=heard.append))

    assert heard == [Event(9, "progress", {"done": 4, "total": None, "note": "doubling"})]


def test_what_a_job_prints_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Event] = []

    (outcome,) = FakeEngine().run([Call("say", index=9, attempt=2)], deadline=math.inf, on_event=heard.append)

    assert outcome.result() == 2
    assert heard == [
        Event(9, "log", {"stream": "stdout", "line": "printed"}),
        Event(9, "log", {"stream": "log", "line": "logged"}),
    ]
    assert capsys.readouterr().out == ""


def test_what_another_call_prints_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Event] = []

    (outcome,) = FakeEngine().run([Call("say")], deadline=math.inf, on_event=heard.append)

    assert outcome.result() == 1
    assert heard == []
    assert capsys.readouterr().out == "printed\nlogged\n"


def test_a_closed_engine_takes_no_more_work() -> None:
    engine = FakeEngine()
    engine.close()
    engine.close()

    with pytest.raises(Stopping):
        next(engine.run([Call("double", {"n": 1})], deadline=math.inf))
