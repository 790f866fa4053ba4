"""A call that fails, in whatever way, fails alone and with its own error."""

import os
import signal
import time

import pytest

from service.engine.base import Call
from service.errors import (
    DeadlineExceeded,
    MemoryLimitExceeded,
    NotSerializable,
    TaskCrashed,
    TaskFailed,
)
from tests.integration.engine.hostile_tasks import Bomb, Grudge


@pytest.mark.parametrize(
    ("task", "exception", "message"),
    [
        ("raise_error", "ValueError", "no such luck"),
        ("raise_system_exit", "SystemExit", "3"),
        ("raise_keyboard_interrupt", "KeyboardInterrupt", ""),
        ("raise_unspeakable", "UnspeakableError", "(its text can't be had)"),
        ("recurse", "RecursionError", "maximum recursion depth exceeded"),
    ],
)
def test_a_task_that_raises(run, task, exception, message):
    pid = run.result("whoami")
    error = run.error(task)
    assert isinstance(error, TaskFailed)
    assert (error.exception, error.message) == (exception, message)
    assert task in error.traceback or exception == "UnspeakableError"
    assert run.result("whoami") == pid, "its process goes on"


@pytest.mark.parametrize(
    ("task", "args", "exit_code", "name"),
    [
        ("segfault", {}, -signal.SIGSEGV, "SIGSEGV"),
        ("exit_hard", {"code": 5}, 5, None),
        ("exit_hard", {"code": 0}, 0, None),
        *(
            ("kill_myself", {"signum": signum}, -signum, signum.name)
            for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT)
        ),
    ],
)
def test_a_process_that_dies(run, task, args, exit_code, name):
    pid = run.result("whoami")
    error = run.error(task, **args)
    assert isinstance(error, TaskCrashed)
    assert (error.pid, error.exit_code, error.signal) == (pid, exit_code, name)
    assert run.result("whoami") != pid, "another has taken its place"


def test_a_process_killed_while_idle_costs_no_call(run):
    for _ in range(3):
        os.kill(run.result("whoami"), signal.SIGKILL)
        assert run.results("echo", [{"value": n} for n in range(50)]) == list(range(50))


@pytest.mark.parametrize("task", ["return_unpicklable", "return_grudge"])
def test_a_result_that_cannot_travel(run, task):
    error = run.error(task)
    assert isinstance(error, NotSerializable)
    assert error.what == "result"


@pytest.mark.parametrize("value", [lambda: None, Grudge()])
def test_an_argument_that_cannot_travel(run, value):
    run.results("echo", [{"value": n} for n in range(1000)])
    calls = [Call("echo", {"value": value if n == 5 else n}, n) for n in range(50)]
    outcomes = {outcome.index: outcome for outcome in run.outcomes(calls)}
    assert isinstance(outcomes[5].error, NotSerializable)
    assert outcomes[5].error.what == "arguments"
    assert [outcomes[n].result() for n in range(50) if n != 5] == [n for n in range(50) if n != 5]


def test_an_argument_that_kills_whoever_unpacks_it(run):
    """It is given up; its neighbours are not."""
    run.results("echo", [{"value": n} for n in range(1000)])
    calls = [Call("echo", {"value": Bomb() if n == 5 else n}, n) for n in range(20)]
    outcomes = {outcome.index: outcome for outcome in run.outcomes(calls)}
    error = outcomes[5].error
    assert isinstance(error, TaskCrashed)
    assert error.exit_code == 7
    assert [outcomes[n].result() for n in range(20) if n != 5] == [n for n in range(20) if n != 5]


def test_a_task_that_closes_the_descriptors_of_its_process(run):
    outcome = run.outcome("close_every_descriptor")
    assert outcome.value == "closed" or isinstance(outcome.error, TaskCrashed)
    assert run.result("echo", value=1) == 1


def test_memory_beyond_the_limit(make_engine, run_on):
    run = run_on(make_engine(memory_limit=200_000_000))
    assert run.result("allocate", size=100_000_000) == 100_000_000
    pid = run.result("whoami")
    error = run.error("allocate", size=300_000_000)
    assert isinstance(error, MemoryLimitExceeded)
    assert error.limit == 200_000_000
    assert run.result("whoami") != pid, "a process that ran out of memory is not used again"
    assert run.result("allocate", size=100_000_000) == 100_000_000


def test_more_memory_than_there_is(run):
    error = run.error("allocate", size=1 << 60)
    assert isinstance(error, MemoryLimitExceeded)
    assert error.limit is None


@pytest.mark.parametrize("task", ["spin", "hold_the_gil", "ignore_signals_and_spin"])
def test_a_deadline_kills_whatever_runs(run, task):
    run.result("whoami")
    args = {"seconds": 60} if task == "spin" else {}
    began = time.monotonic()
    error = run.error(task, within=0.3, **args)
    assert isinstance(error, DeadlineExceeded)
    assert error.started
    assert error.limit == pytest.approx(0.3, abs=0.05)
    assert time.monotonic() - began < 5
    assert run.result("echo", value=1) == 1


def test_a_deadline_in_the_past_starts_nothing(run, tmp_path):
    error = run.error("append_line", within=-1, path=str(tmp_path / "lines"), line="ran")
    assert isinstance(error, DeadlineExceeded)
    assert not error.started
    assert not (tmp_path / "lines").exists()


def test_every_call_of_a_run_whose_deadline_passes_gets_an_outcome(run):
    outcomes = list(run.outcomes((Call("spin", {"seconds": 0.1}, n) for n in range(30_000)), within=3))
    assert sorted(outcome.index for outcome in outcomes) == list(range(30_000))
    assert {type(outcome.error) for outcome in outcomes} == {type(None), DeadlineExceeded}


def test_the_limit_of_one_call_is_not_the_others(run):
    """In one large chunk, one call hangs, one crashes and one raises; each other call ends well."""
    run.results("mostly_harmless", ({"number": 20 * n} for n in range(500)))
    calls = [
        Call("mostly_harmless", {"number": n}, n, timeout=0.2 if n % 20 == 14 else 20) for n in range(100)
    ]
    outcomes = {outcome.index: outcome for outcome in run.outcomes(calls)}
    assert len(outcomes) == 100
    for n, outcome in outcomes.items():
        expected = {3: TaskCrashed, 9: TaskFailed, 14: DeadlineExceeded}.get(n % 20)
        if expected is None:
            assert outcome.result() == n * n
        else:
            assert isinstance(outcome.error, expected), outcome


def test_no_call_runs_twice_when_its_neighbours_die(run, tmp_path):
    """What was begun before a crash is not begun again after it."""
    lines = tmp_path / "lines"
    run.results("append_line", ({"path": str(tmp_path / "warm"), "line": "x"} for _ in range(300)))
    calls = [
        Call("exit_hard", {"code": 1}, n)
        if n % 50 == 25
        else Call("append_line", {"path": str(lines), "line": str(n)}, n)
        for n in range(400)
    ]
    outcomes = list(run.outcomes(calls))
    written = sorted(map(int, lines.read_text().split()))
    assert written == [n for n in range(400) if n % 50 != 25]
    assert {outcome.index for outcome in outcomes if outcome.error} == set(range(25, 400, 50))


def test_a_killed_task_takes_its_own_children_along(run, tmp_path):
    note = tmp_path / "pid"
    error = run.error("leave_child_behind", within=3.0, path=str(note))
    assert isinstance(error, DeadlineExceeded)
    child = int(note.read_text())
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail(f"process {child} was left behind")
