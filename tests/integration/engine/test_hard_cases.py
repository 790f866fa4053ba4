"""What went wrong once, or would have."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from service.engine.base import Call
from service.errors import DeadlineExceeded, MemoryLimitExceeded, NotSerializable, Stopping, TaskCrashed
from tests.integration.engine.hostile_tasks import Slowly

ROOT = Path(__file__).resolve().parents[3]


def wait_until(true, within=10.0):
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_iterator_that_raises_leaves_no_process_and_no_slot_taken(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1, queue_timeout=1))
    run.results("echo", [{"value": n} for n in range(100)])  # so that calls travel together

    def calls():
        yield Call("echo", {"value": 1})
        raise LookupError

    with pytest.raises(LookupError):
        list(run.outcomes(calls()))
    assert run.result("echo", value=2) == 2


def test_an_iterator_that_takes_its_time_keeps_nobody_waiting(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1))
    other = run_on(make_engine(cpu_slots=1, queue_timeout=1))
    asked, go_on = threading.Event(), threading.Event()

    def calls():
        asked.set()
        go_on.wait()
        yield Call("echo", {"value": 1})

    run.results("echo", [{"value": n} for n in range(100)])
    thread = threading.Thread(target=lambda: list(run.outcomes(calls())))
    thread.start()
    asked.wait()
    assert other.result("echo", value=2) == 2
    go_on.set()
    thread.join()


@pytest.mark.parametrize("task", ["exit_hard", "hold_the_gil"])
def test_a_dead_process_of_a_suspended_run_holds_no_slot(make_engine, run_on, task):
    run = run_on(make_engine(cpu_slots=1, processes=2))
    others = [run_on(make_engine(cpu_slots=1)), run]
    last = Call(task, {"code": 3} if task == "exit_hard" else {}, 1)
    # One of them ends by itself, the other at the deadline.
    within = 20.0 if task == "exit_hard" else 3.0
    outcomes = run.outcomes([Call("echo", {"value": 0}, 0), last], within=within)
    next(outcomes)
    for other in others:
        assert other.result("echo", within=5, value=1) == 1
    (outcome,) = outcomes
    assert isinstance(outcome.error, TaskCrashed if task == "exit_hard" else DeadlineExceeded)


def test_a_computing_call_is_not_forgotten_behind_sleeping_ones(make_engine, run_on):
    run = run_on(make_engine(processes=3, cpu_slots=1))
    naps = [threading.Thread(target=lambda s=s: run.result("nap", seconds=s)) for s in (0.3, 2.0, 2.0, 2.0)]
    for nap in naps:
        nap.start()
    wait_until(lambda: len(run.engine._ensure_pool().lines[0]) >= 2)
    began = time.monotonic()
    run.result("echo", value=1)
    assert time.monotonic() - began < 1.5
    for nap in naps:
        nap.join()


def test_a_result_that_cannot_be_read_costs_its_neighbours_nothing(run):
    run.results("choose", [{"what": "echo"} for _ in range(500)])
    kinds = ["grudge", "hang", *["echo"] * 20]
    calls = [
        Call("choose", {"what": kind}, n, timeout=0.3 if kind == "hang" else 20)
        for n, kind in enumerate(kinds)
    ]
    began = time.monotonic()
    outcomes = {outcome.index: outcome for outcome in run.outcomes(calls)}
    assert time.monotonic() - began < 5
    assert isinstance(outcomes[0].error, NotSerializable)
    assert isinstance(outcomes[1].error, DeadlineExceeded)
    assert [outcomes[n].result() for n in range(2, 22)] == ["echo"] * 20


def test_reading_slow_arguments_costs_the_caller_no_cpu(run):
    run.results("echo", [{"value": n} for n in range(500)])
    before = time.process_time()
    assert run.results("echo", [{"value": Slowly(0.5)}, {"value": 1}, {"value": 2}])[1:] == [1, 2]
    assert time.process_time() - before < 0.3


def test_many_large_inputs_are_not_taken_in_at_once(run):
    run.results("ignore", [{"value": n} for n in range(500)])
    taken = 0

    def calls():
        nonlocal taken
        while True:
            taken += 1
            yield Call("ignore", {"value": bytes(1_000_000)})

    outcomes = run.outcomes(calls())
    for done, _ in enumerate(itertools.islice(outcomes, 300), 1):
        assert taken - done < 100
    outcomes.close()


def test_arguments_beyond_the_memory_limit_are_named_so(make_engine, run_on):
    run = run_on(make_engine(memory_limit=60_000_000))
    error = run.error("ignore", value=bytes(100_000_000))
    assert isinstance(error, MemoryLimitExceeded)


def test_a_death_is_noticed_although_a_child_lives_on(run, tmp_path):
    note = tmp_path / "pid"
    try:
        error = run.error("exit_and_leave_a_daemon", path=str(note))
        assert isinstance(error, TaskCrashed)
        assert error.exit_code == 9
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)


def test_what_a_thread_says_after_its_call_is_nobody_elses_event(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1, processes=1))
    (first,) = run.outcomes([Call("report_later", {"seconds": 0.1})])
    events: list[object] = []
    (second,) = run.outcomes([Call("nap", {"seconds": 0.5})], on_event=events.append)
    assert first.timing.pid == second.timing.pid
    assert events == []


def test_a_caller_that_reads_no_events_stops_nobody(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1))
    other = run_on(make_engine(cpu_slots=1))
    calls = [Call("echo", {"value": 0}, 0), Call("report", {"steps": 20_000}, 1)]
    outcomes = run.outcomes(calls, on_event=lambda _: None)
    next(outcomes)
    assert other.result("echo", within=10, value=1) == 1
    assert next(outcomes).result() == "done"


def test_a_run_made_before_the_engine_closed_is_told(make_engine, run_on):
    run = run_on(make_engine())
    run.result("echo", value=1)
    outcomes = run.outcomes([Call("echo", {"value": 2})])
    run.engine.close()
    with pytest.raises(Stopping):
        next(outcomes)


def test_the_others_of_a_run_do_not_wait_for_its_slow_call_under_load(make_engine, run_on):
    """Even when somebody always waits for a slot, the run gets one for its other calls."""
    engine = make_engine()
    run = run_on(engine)
    run.results("spin", [{"seconds": 0.001}] * 50)
    stop = threading.Event()

    def load():
        while not stop.is_set():
            run.result("spin", seconds=0.01)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    calls = [Call("spin", {"seconds": 5.0 if n == 0 else 0.0}, n) for n in range(20)]
    order = [outcome.index for outcome in run.outcomes(calls)]
    stop.set()
    for thread in threads:
        thread.join()
    assert order[-1] == 0


def test_what_is_ready_is_handed_over_before_the_run_waits_in_line_again(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1))
    run.results("spin", [{"seconds": 0.05}] * 2)  # so that each goes by itself
    pool = run.engine._ensure_pool()

    def push_in():
        wait_until(lambda: pool._busy)
        run.result("spin", seconds=2)

    other = threading.Thread(target=push_in)
    other.start()
    outcomes = run.outcomes([Call("spin", {"seconds": 0.5}, n) for n in range(2)])
    first = next(outcomes)
    assert time.monotonic() - first.timing.finished < 1
    assert len(list(outcomes)) == 1
    other.join()


def test_a_fork_of_the_owner_keeps_nothing_alive(tmp_path):
    """A child process made with fork, which inherits everything, outlives the owner; the pool does not."""
    script = """
import os, sys, threading, time
from pathlib import Path
from service.engine.base import Call
from service.engine.local import LocalEngine
from service.tasks import registry
TASKS = "tests.integration.engine.hostile_tasks"
registry.load([TASKS])
engine = LocalEngine(modules=[TASKS], processes=2, cpu_slots=1, runtime_dir=Path(sys.argv[1]))
list(engine.run([Call("echo", {"value": 1})], deadline=time.monotonic() + 20))
pid = os.fork()
if pid == 0:
    time.sleep(60)
    os._exit(0)
print(pid, flush=True)
list(engine.run([Call("spin", {"seconds": 60})], deadline=time.monotonic() + 60))
"""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        fork = int(owner.stdout.readline())
        try:
            below = psutil.Process(owner.pid).children(recursive=True)
            pool = [process for process in below if process.name().startswith("everycore")]
            assert len(pool) == 2
            owner.kill()
            wait_until(lambda: not any(process.is_running() for process in pool), within=5)
        finally:
            os.kill(fork, signal.SIGKILL)


def test_several_processes_are_killed_at_once(run):
    run.results("nap", [{"seconds": 0.05}] * 6)
    outcomes = list(run.outcomes([Call("nap", {"seconds": 60}, n) for n in range(6)], within=0.3))
    assert [type(outcome.error) for outcome in outcomes] == [DeadlineExceeded] * 6
    ended = [outcome.timing.finished for outcome in outcomes]
    assert max(ended) - min(ended) < 1


def test_a_deadline_far_away_is_no_trouble(run):
    assert [
        outcome.value for outcome in run.engine.run([Call("echo", {"value": 1})], deadline=float("inf"))
    ] == [1]


def test_memory_of_large_messages_is_given_back_when_idle(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1))
    array = np.ones(4_000_000)
    run.result("ignore", value=array)
    (process,) = run.engine._ensure_pool()._idle
    assert _allocated(process.requests.fd) > 30_000_000
    process.idle_since -= 5  # as if it had been idle for that long
    wait_until(lambda: _allocated(process.requests.fd) < 1_000_000)
    assert run.result("double", array=array)[-1] == 2


def _allocated(fd):
    return os.fstat(fd).st_blocks * 512
