"""Calls that come in over time, and somebody who stops waiting for what comes of them."""

import os
import socket
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from service.engine.base import Call, Feed, Outcome, Timing
from service.errors import Abandoned, DeadlineExceeded, MemoryLimitExceeded, Saturated, Stopping
from tests.integration.engine.test_lifecycle import wait_until


class Source:
    """A feed that a test fills."""

    def __init__(self):
        self.calls: deque[Call | Outcome] = deque()
        self.ended = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.asked = 0

    def put(self, *calls, end=False):
        self.calls.extend(calls)
        self.ended = end
        os.eventfd_write(self.fd, 1)

    def __iter__(self):
        while True:
            self.asked += 1
            while self.calls:
                yield self.calls.popleft()
            if self.ended:
                return
            try:
                os.eventfd_read(self.fd)
            except BlockingIOError:
                yield None

    def feed(self):
        return Feed(iter(self), self.fd)


@pytest.fixture
def source():
    made = Source()
    yield made
    os.close(made.fd)


def test_a_result_is_there_while_more_calls_are_waited_for(run, source):
    outcomes = run.outcomes(source.feed())
    for n in range(3):
        source.put(Call("echo", {"value": n}, n))
        assert next(outcomes).value == n
    source.put(Call("echo", {"value": 3}, 3), Call("echo", {"value": 4}, 4), end=True)
    assert sorted(o.value for o in outcomes) == [3, 4]


def test_a_call_that_an_outcome_brings_about_is_taken_in_without_a_word(run, source):
    """Who gets the outcomes may be the one who feeds, and has nobody to wake."""
    source.calls.append(Call("echo", {"value": 0}, 0))
    outcomes = run.outcomes(source.feed(), within=10)
    for n in range(1, 4):
        assert next(outcomes).value == n - 1
        source.calls.append(Call("echo", {"value": n}, n))
    source.ended = True
    assert [outcome.result() for outcome in outcomes] == [3]


def test_a_call_that_comes_late_starts_beside_one_that_runs(run, source):
    run.result("echo", value=1)
    outcomes = run.outcomes(source.feed())
    source.put(Call("spin", {"seconds": 0.5}, 0))
    later = threading.Timer(0.1, source.put, [Call("echo", {"value": 1}, 1)], {"end": True})
    later.start()
    assert [o.index for o in outcomes] == [1, 0]
    later.join()


def test_waiting_for_calls_takes_no_time(run, source):
    outcomes = run.outcomes(source.feed(), within=1)
    before = time.thread_time()
    assert list(outcomes) == []
    assert time.thread_time() - before < 0.2
    assert source.asked < 100


def test_no_more_calls_are_waited_for_at_the_deadline(run, source):
    source.put(Call("spin", {"seconds": 30}))
    (outcome,) = run.outcomes(source.feed(), within=0.5)
    assert isinstance(outcome.error, DeadlineExceeded)


def test_an_outcome_among_the_calls_is_handed_through_while_others_run(run, source):
    refused = Outcome(7, Timing(0, 1.0, 1.0, 1.0), error=MemoryLimitExceeded(5))
    outcomes = run.outcomes(source.feed())
    source.put(Call("spin", {"seconds": 0.2}, 0), refused)
    assert next(outcomes) is refused
    assert next(outcomes).index == 0
    source.put(refused, end=True)
    assert list(outcomes) == [refused]


def test_very_many_outcomes_among_the_calls_do_not_pile_up(run):
    taken = 0

    def calls():
        nonlocal taken
        for n in range(100_000):
            taken += 1
            yield Outcome(n, Timing(0, 1.0, 1.0, 1.0), value=n)

    outcomes = run.outcomes(calls())
    next(outcomes)
    assert taken < 50_000
    assert [o.value for o in outcomes] == list(range(1, 100_000))


@pytest.fixture
def connection():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


class TestHangUp:
    """Whoever wanted the outcomes closes the connection."""

    @pytest.mark.parametrize("how", ["close", "half"])
    def test_what_runs_is_killed(self, run, connection, tmp_path, how):
        ours, theirs = connection
        note = tmp_path / "pid"

        def hang_up():
            wait_until(lambda: note.exists() and note.read_text())
            theirs.close() if how == "close" else theirs.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=hang_up)
        thread.start()
        calls = [Call("touch_and_wait", {"path": str(note), "seconds": 60})]
        with pytest.raises(Abandoned):
            list(run.outcomes(calls, hangup_fd=ours.fileno()))
        thread.join()
        wait_until(lambda: not Path("/proc", note.read_text()).exists())
        assert run.result("echo", value=1) == 1

    def test_who_waits_for_a_slot_leaves_the_line(self, make_engine, run_on, connection):
        ours, theirs = connection
        run = run_on(make_engine(cpu_slots=1))
        holding = run.outcomes([Call("spin", {"seconds": 60})])
        thread = threading.Thread(target=lambda: list(holding))
        thread.start()
        wait_until(lambda: run.engine._pool is not None and run.engine._pool._busy)
        threading.Timer(0.2, theirs.close).start()
        began = time.monotonic()
        with pytest.raises(Abandoned):
            list(run.outcomes([Call("echo", {"value": 1})], hangup_fd=ours.fileno()))
        assert time.monotonic() - began < 5
        assert not run.engine._pool.lines[1]
        run.engine.close()
        thread.join()

    def test_who_waits_for_calls_stops(self, run, source, connection):
        ours, theirs = connection
        threading.Timer(0.2, theirs.close).start()
        with pytest.raises(Abandoned):
            list(run.outcomes(source.feed(), hangup_fd=ours.fileno()))

    def test_a_connection_that_has_something_to_say_is_no_hang_up(self, run, connection):
        ours, theirs = connection
        theirs.send(b"the next request")
        (outcome,) = run.outcomes([Call("spin", {"seconds": 0.2})], hangup_fd=ours.fileno())
        assert outcome.error is None


class TestPlaces:
    """Waiting is bounded for all engines that share a folder."""

    def hold_all(self, run, seconds=60):
        holding = threading.Thread(target=lambda: list(run.outcomes([Call("spin", {"seconds": seconds})])))
        holding.start()
        wait_until(lambda: run.engine._pool is not None and run.engine._pool._busy)
        return holding

    def test_one_more_than_there_are_places_is_refused_at_once_in_any_engine(self, make_engine, run_on):
        # Given one slot, which is taken, and two places to wait, which are taken from two engines
        runs = [run_on(make_engine(cpu_slots=1, queue_limit=2)) for _ in range(3)]
        holding = self.hold_all(runs[0])

        def wait_in_vain(run):
            with pytest.raises(Stopping):
                run.result("echo", value=1)

        waiting = [threading.Thread(target=wait_in_vain, args=[run]) for run in runs[:2]]
        for thread in waiting:
            thread.start()
        wait_until(lambda: sum(len(run.engine._pool.lines[1]) for run in runs[:2] if run.engine._pool) == 2)
        # When a third engine wants one
        runs[2].engine._ensure_pool()
        began = time.monotonic()
        with pytest.raises(Saturated, match="2 requests wait already"):
            runs[2].result("echo", value=1)
        # Then it is not kept waiting
        assert time.monotonic() - began < 5
        for run in reversed(runs):  # the one that has the slot last, or another would get it
            run.engine.close()
        for thread in (holding, *waiting):
            thread.join(10)

    def test_a_call_that_would_wait_beyond_its_deadline_is_refused_at_once(self, make_engine, run_on):
        # Given that calls take half a second, and that some wait
        run = run_on(make_engine(cpu_slots=1))
        run.results("spin", [{"seconds": 0.5}] * 2)
        threads = [threading.Thread(target=lambda: run.outcome("spin", seconds=0.5)) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(run.engine._pool.lines[1]) >= 4)
        wait_until(lambda: run.engine.backlog > 1)
        # When one comes that has not that much time
        began = time.monotonic()
        with pytest.raises(Saturated) as refused:
            run.outcome("echo", within=1, value=1)
        # Then it hears at once that it should come back, and when
        assert time.monotonic() - began < 0.5
        assert 1 < refused.value.retry_after < 10
        # And one that has the time is let in
        assert run.outcome("echo", within=30, value=1).error is None
        for thread in threads:
            thread.join()

    def test_places_are_given_back(self, make_engine, run_on):
        run = run_on(make_engine(cpu_slots=1, queue_limit=1))
        for _ in range(3):
            holding = self.hold_all(run, seconds=0.3)
            assert run.result("echo", value=1) == 1
            holding.join()
        assert run.engine._pool._places.taken == 0
