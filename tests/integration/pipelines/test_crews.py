"""A pipeline starts when there is room for all its processes, and not before."""

from __future__ import annotations

import functools
import socket
import threading
import time

import pytest

from service.engine.base import Call
from service.errors import (
    Abandoned,
    Cancelled,
    ConfigurationError,
    DeadlineExceeded,
    EngineUnavailable,
    EverycoreError,
    Saturated,
    Stopping,
)
from tests.integration.pipelines.conftest import Result, is_gone, wait_until


def all_gone(pids):
    return all(map(is_gone, pids))


class Runs:
    """Runs of pipelines in threads of their own."""

    def __init__(self):
        self.results = []
        self._threads = []

    def start(self, pipes, name, **arguments):
        def work():
            try:
                self.results.append(pipes.run(name, **arguments))
            except EverycoreError as error:
                self.results.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)

    def join(self):
        for thread in self._threads:
            thread.join(timeout=40)
            assert not thread.is_alive()
        return self.results


def begin(pipes):
    """Start a run of seven processes that goes on until it is closed."""
    run = pipes.start("t_busy", how="well", at=0)
    next(run)
    return run


def wait_for_line(pipes, length=1):
    wait_until(lambda: len(pipes.pool._crews._line) == length)


def test_pipelines_that_together_need_more_processes_than_there_are_wait_for_each_other(make_pipes):
    pipes = make_pipes(processes=8)
    runs = Runs()
    for _ in range(3):
        for name in ("t_wide", "t_ordered", "t_spread"):
            runs.start(pipes, name, n=20)
    results = runs.join()
    assert [result.error for result in results] == [None] * 9
    assert len(pipes.pool._idle) <= 8
    assert pipes.pool._crews._taken == 0


def test_one_that_needs_more_than_there_are_is_refused(make_pipes):
    pipes = make_pipes(processes=3)
    with pytest.raises(ConfigurationError, match=r"4 processes .* at most 3"):
        next(pipes.start("t_wide"))
    assert pipes.values("t_plain", n=3) == [2, 4, 6], "it needs three"


def test_a_wait_that_is_too_long_is_told(make_pipes):
    pipes = make_pipes(processes=7, queue_timeout=0.2)
    run = begin(pipes)
    began = time.monotonic()
    result = pipes.run("t_plain")
    assert isinstance(result.error, Saturated)
    assert result.error.retry_after > 0
    assert 0.2 <= time.monotonic() - began < 5
    run.close()
    assert pipes.values("t_plain", n=1) == [2]


def test_a_deadline_may_come_while_it_waits(make_pipes):
    pipes = make_pipes(processes=7)
    run = begin(pipes)
    result = pipes.run("t_plain", within=0.2)
    assert isinstance(result.error, DeadlineExceeded)
    assert not result.error.started
    assert result.run.timing is None
    run.close()


def test_who_hangs_up_waits_no_longer(make_pipes):
    pipes = make_pipes(processes=7)
    run = begin(pipes)
    ours, theirs = socket.socketpair()
    runs = Runs()
    with ours, theirs:
        runs.start(pipes, "t_plain", hangup_fd=ours.fileno())
        wait_for_line(pipes)
        theirs.close()
        began = time.monotonic()
        (result,) = runs.join()
    assert isinstance(result.error, Abandoned)
    assert time.monotonic() - began < 2
    run.close()
    assert pipes.values("t_plain", n=1) == [2]


def test_first_come_first_served(make_pipes):
    """A small one does not pass a large one, which might wait for ever."""
    pipes = make_pipes(processes=10)
    run = begin(pipes)
    runs = Runs()
    runs.start(pipes, "t_wide", n=3)  # there is room for three, not for four
    wait_for_line(pipes, 1)
    runs.start(pipes, "t_plain", n=3)
    wait_for_line(pipes, 2)
    assert not runs.results, "there is room for three"
    run.close()
    assert [result.error for result in runs.join()] == [None, None]


def test_sleepers_that_fill_the_pool_keep_no_pipeline_from_starting(make_pipes):
    pipes = make_pipes(processes=6)
    sleeping = threading.Thread(
        target=lambda: list(
            pipes.engine.run(
                (Call("t_nap", {"seconds": 2}, n) for n in range(12)), deadline=time.monotonic() + 2
            )
        )
    )
    sleeping.start()
    wait_until(lambda: len(pipes.busy) >= 4)
    began = time.monotonic()
    assert len(pipes.values("t_wide", n=5)) == 5
    assert time.monotonic() - began < 1.5
    sleeping.join()


def test_a_pipeline_keeps_no_call_from_starting(make_pipes):
    pipes = make_pipes(processes=7)
    run = begin(pipes)
    (outcome,) = pipes.engine.run([Call("t_called")], deadline=time.monotonic() + 20)
    assert outcome.result() == "called"
    run.close()


def test_closing_the_engine_sends_away_those_who_run_and_those_who_wait(make_pipes):
    pipes = make_pipes(processes=7)
    runs = Runs()
    runs.start(pipes, "t_busy", how="sleep", at=20)
    wait_until(lambda: len(pipes.busy) == 7)
    for _ in range(3):
        runs.start(pipes, "t_plain")
    wait_for_line(pipes, 3)
    pids = [process.pid for process in pipes.busy]
    pipes.engine.close()
    errors = [type(result.error) for result in runs.join()]
    assert len(errors) == 4
    assert set(errors) <= {Cancelled, Stopping}
    assert errors.count(Stopping) >= 3
    assert all(map(is_gone, pids))


def test_closing_the_engine_while_pipelines_start_leaves_nothing(make_pipes):
    """At whatever moment it is closed."""
    for number in range(6):
        pipes = make_pipes(processes=10)
        runs = Runs()
        pool = pipes.pool
        runs.start(pipes, "t_wide_and_long", n=100_000)
        seen: set[int] = set()

        def look(pool=pool, seen=seen, number=number):
            with pool.lock:
                seen.update(process.pid for process in pool._busy)
            return len(seen) > number

        wait_until(look)
        pipes.engine.close()
        with pool.lock:
            seen.update(process.pid for process in pool._busy)
        (result,) = runs.join()
        error = result.error if isinstance(result, Result) else result
        assert isinstance(error, Cancelled | EngineUnavailable), error
        wait_until(functools.partial(all_gone, seen))
