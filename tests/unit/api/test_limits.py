"""Requests in any 60 seconds, exactly, whoever counts."""

from __future__ import annotations

import multiprocessing
import random
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from service.api.limits import WINDOW, Rate


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rate(tmp_path: Path, clock: Clock):
    rate = Rate(tmp_path / "limits.db", clock)
    yield rate
    rate.close()


def test_as_many_pass_as_may_and_the_next_is_told_when(rate: Rate, clock: Clock) -> None:
    assert [rate.take("alice", 3) for _ in range(3)] == [0, 0, 0]
    clock.now += 10
    assert rate.take("alice", 3) == pytest.approx(50)


def test_what_was_refused_does_not_count(rate: Rate, clock: Clock) -> None:
    rate.take("alice", 1)
    for _ in range(5):
        clock.now += 11
        assert rate.take("alice", 1) > 0
    clock.now += 5
    assert rate.take("alice", 1) == 0


def test_keys_do_not_count_for_each_other(rate: Rate) -> None:
    rate.take("alice", 1)

    assert rate.take("bob", 1) == 0


def test_no_window_of_a_minute_ever_holds_more(rate: Rate, clock: Clock) -> None:
    # Given requests at random times, many more than may pass
    chance = random.Random(1)
    passed: deque[float] = deque()
    count = 0
    for _ in range(2000):
        clock.now += chance.expovariate(1.0)

        # When one passes
        if rate.take("alice", 7) == 0:
            count += 1
            passed.append(clock.now)

        # Then the minute before it holds no more than may, and as many as could
        while passed[0] <= clock.now - WINDOW:
            passed.popleft()
        assert len(passed) <= 7
    assert count > 7 * (clock.now - 1000) / WINDOW * 0.9


@pytest.mark.parametrize(("before", "after"), [(5, 2), (2, 5)])
def test_a_changed_limit_holds_at_once(rate: Rate, before: int, after: int) -> None:
    first = [rate.take("alice", before) for _ in range(10)].count(0)
    then = [rate.take("alice", after) for _ in range(10)].count(0)

    assert first == before
    assert then == max(0, after - before)


def test_times_of_before_a_restart_of_the_machine_do_not_count(rate: Rate, clock: Clock) -> None:
    rate.take("alice", 1)
    clock.now = 5.0

    assert rate.take("alice", 1) == 0
    assert rate.take("alice", 1) > 0


def test_threads_that_share_one_file_let_through_as_many_as_may(tmp_path: Path) -> None:
    rate = Rate(tmp_path / "limits.db")
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: rate.take("alice", 50), range(400)))
    rate.close()

    assert taken.count(0) == 50


def attempts(path: Path) -> int:
    rate = Rate(path)
    passed = [rate.take("alice", 50) for _ in range(100)].count(0)
    rate.close()
    return passed


def test_processes_that_share_one_file_let_through_as_many_as_may(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn) as processes:
        passed = list(processes.map(attempts, [tmp_path / "limits.db"] * 4))

    assert sum(passed) == 50
