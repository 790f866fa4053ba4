"""What an engine with real processes tells whoever counts."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import closing, suppress

import numpy as np
import pytest

from service.engine.base import Call
from service.engine.observer import tell
from service.errors import EngineUnavailable, Saturated
from tests.integration.engine.test_lifecycle import wait_until


class Record:
    """Hears everything, and keeps it."""

    def __init__(self):
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.timings = []
        self.refusals = []
        self.sent = self.received = self.runs = self.started = 0
        self.ends = []

    def begin_run(self):
        return self

    def ended(self, task, outcome, timings):
        self.outcomes[task, outcome] += len(timings)
        self.timings += timings

    def refused(self, task, outcome):
        self.refusals.append((task, outcome))

    def carried(self, sent, received):
        self.sent += sent
        self.received += received

    def over(self):
        self.runs += 1

    def process_started(self):
        self.started += 1

    def process_ended(self, reason):
        self.ends.append(reason)


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def make(make_engine, run_on, record):
    """Make an engine that is observed."""

    def make(**changes):
        engine = make_engine(**changes)
        engine.observer = record
        return run_on(engine)

    return make


def test_a_call_is_told_once_with_its_times_and_its_processes_start(make, record):
    run = make()

    outcome = run.outcome("echo", value=1)

    assert record.outcomes == {("echo", "succeeded"): 1}
    assert record.timings == [outcome.timing]
    assert (record.started, record.ends, record.runs) == (1, [], 1)


def test_each_call_of_a_map_is_told_whatever_becomes_of_it(make, record):
    run = make()

    kinds = ["raise_error", "echo", "exit_hard", "segfault", "return_unpicklable"]
    args = {"echo": {"value": 1}, "exit_hard": {"code": 3}}
    calls = [Call(kinds[i % 5], args.get(kinds[i % 5], {}), i) for i in range(25)]
    assert len(list(run.outcomes(calls))) == 25

    assert record.outcomes == {
        ("raise_error", "task-failed"): 5,
        ("echo", "succeeded"): 5,
        ("exit_hard", "task-crashed"): 5,
        ("segfault", "task-crashed"): 5,
        ("return_unpicklable", "result-not-serializable"): 5,
    }
    assert record.ends == ["crashed"] * 10


def test_many_short_calls_are_told_to_the_last(make, record):
    run = make()

    assert len(run.results("echo", [{"value": i} for i in range(20_000)])) == 20_000

    assert record.outcomes == {("echo", "succeeded"): 20_000}
    assert record.runs == 1


def test_a_call_that_is_killed_at_a_limit_is_told_and_so_is_its_process(make, record):
    run = make()

    run.error("hold_the_gil", timeout=0.2)
    run.error("hold_the_gil", within=1)  # with the start of another process

    assert record.outcomes == {("hold_the_gil", "deadline-exceeded"): 2}
    assert record.ends == ["killed", "killed"]
    assert all(timing.run >= 0.1 for timing in record.timings)


def test_what_runs_when_nobody_wants_it_any_more_was_cancelled(make, record):
    run = make()
    call = Call("count_then", {"n": 1, "end": "hang"}, stream=True)
    with closing(run.outcomes([call])) as outcomes:
        next(outcomes)

    assert record.outcomes == {("count_then", "cancelled"): 1}
    assert record.ends == ["killed"]
    assert record.runs == 1


def test_a_stream_is_one_call(make, record):
    run = make()

    items = list(run.outcomes([Call("count", {"n": 500}, stream=True)]))

    assert len(items) == 501
    assert record.outcomes == {("count", "succeeded"): 1}


def test_arguments_that_can_not_be_sent_are_told_without_a_process(make, record):
    run = make()

    run.error("echo", value=threading.Lock())

    assert record.outcomes == {("echo", "result-not-serializable"): 1}
    assert record.timings[0].pid == 0


def test_calls_that_come_too_late_are_told_as_such(make, record):
    run = make()
    run.result("echo", value=1)
    calls = [Call("echo", {"value": 1}, i) for i in range(3)]

    assert len(list(run.engine.run(calls, deadline=time.monotonic() - 1))) == 3

    assert record.outcomes == {("echo", "succeeded"): 1, ("echo", "deadline-exceeded"): 3}


def test_a_run_that_gets_no_turn_is_told_as_one_call(make, record):
    run = make(cpu_slots=1, queue_limit=0)
    with closing(run.outcomes([Call("spin", {"seconds": 30})])) as busy:
        thread = threading.Thread(target=lambda: next(busy, None))
        thread.start()
        wait_until(lambda: record.started == 1)
        wait_until(lambda: run.engine._pool.slots.taken == 1)
        with pytest.raises(Saturated):
            list(run.outcomes([Call("echo", {"value": i}, i) for i in range(100)]))
        run.engine.close()
        thread.join()

    with suppress(EngineUnavailable):
        run.result("echo", value=1)
    assert record.refusals == [("echo", "saturated")]
    assert record.outcomes == {("spin", "cancelled"): 1}
    assert record.ends == ["closed"] * record.started


def test_processes_end_for_a_reason(make, record):
    run = make(recycle_calls=2, idle_seconds=0.2)

    run.result("echo", value=1)
    run.result("echo", value=1)
    assert record.ends == ["recycled"]
    run.result("echo", value=1)
    wait_until(lambda: record.ends == ["recycled", "idle"])
    pid = run.result("whoami")
    os.kill(pid, signal.SIGKILL)
    run.result("echo", value=1)
    assert "crashed" in record.ends[2:]
    run.engine.close()
    assert record.started == len(record.ends)


def test_a_process_that_ran_out_of_memory_is_recycled(make, record):
    run = make(memory_limit=64 * 1024 * 1024)

    run.error("allocate", size=256 * 1024 * 1024)

    assert record.outcomes == {("allocate", "memory-limit-exceeded"): 1}
    assert record.ends == ["recycled"]


def test_idle_processes_are_closed_with_the_engine(make, record):
    run = make()
    run.results("nap", [{"seconds": 0.1}] * 4)

    run.engine.close()

    assert record.ends == ["closed"] * record.started
    assert record.started >= 2


def test_bytes_are_told_both_ways(make, record):
    run = make()
    array = np.zeros(1_000_000)

    run.result("double", array=array)
    assert array.nbytes <= record.sent < array.nbytes + 1000
    assert array.nbytes <= record.received < array.nbytes + 1000

    before = record.received
    list(run.outcomes([Call("arrays", {"n": 3, "length": 100_000}, stream=True)]))
    assert 3 * 800_000 <= record.received - before < 3 * 800_000 + 3000


def test_outcomes_are_told_together_if_they_are_alike(run, record):
    calls = [Call("echo", {"value": 1}, 0), Call("raise_error", {}, 1), Call("echo", {"value": 1}, 2)]
    outcomes = list(run.outcomes(calls))

    tell(record, "mixed", outcomes)

    assert record.outcomes == {("mixed", "succeeded"): 2, ("mixed", "task-failed"): 1}
