"""Waiting for jobs to change: woken by a bell, and by time when no bell is heard."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import Abandoned
from service.jobs.model import StoreUnavailable
from service.jobs.watcher import FALLBACK, GAP, LOOKS, Watcher


class Bell:
    """A listener that a test rings, or breaks."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.broken = self.closed = False

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        os.eventfd_write(self._fd, 1)

    def hear(self) -> None:
        if self.broken:
            raise StoreUnavailable("the line is dead")
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.closed = True
        os.close(self._fd)


class Bells:
    """Gives a bell to whoever listens; a database that is away gives none."""

    def __init__(self) -> None:
        self.given: list[Bell] = []
        self.refusals = 0
        self.asked = 0

    def listen(self) -> Bell:
        self.asked += 1
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("the database is away")
        self.given.append(Bell())
        return self.given[-1]


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def watcher(bells: Bells) -> Iterator[Watcher]:
    watcher = Watcher(bells.listen)
    yield watcher
    watcher.close()


class Sitter:
    """Waits in a thread, and counts its looks."""

    def __init__(self, watcher: Watcher, until: float = 30, hangup_fd: int | None = None) -> None:
        self.looks: list[float] = []
        self.abandoned = False
        self._watcher, self.until, self._fd = watcher, time.monotonic() + until, hangup_fd
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            with self._watcher.waiter(self._fd) as waiter:
                for _ in waiter.looks(self.until):
                    self.looks.append(time.monotonic())
        except Abandoned:
            self.abandoned = True

    def wait_for(self, count: int, within: float = 10) -> None:
        end = time.monotonic() + within
        while len(self.looks) < count:
            assert time.monotonic() < end, f"{len(self.looks)} looks"
            time.sleep(0.001)


def wait_until_heard(bells: Bells, watcher: Watcher) -> Bell:
    end = time.monotonic() + 10
    while not watcher.listening:
        assert time.monotonic() < end
        time.sleep(0.001)
    return bells.given[-1]


def settled(sitter: Sitter) -> int:
    """Return how many looks there were when those of the beginning are over."""
    sitter.wait_for(2)  # at once, and when somebody listens
    return len(sitter.looks)


def test_nobody_listens_before_somebody_waits(bells: Bells, watcher: Watcher) -> None:
    threads = threading.active_count()

    assert (bells.asked, watcher.listening, threading.active_count()) == (0, False, threads)


def test_a_bell_wakes_everybody_who_waits(bells: Bells, watcher: Watcher) -> None:
    sitters = [Sitter(watcher) for _ in range(3)]
    bell = wait_until_heard(bells, watcher)
    before = [settled(sitter) for sitter in sitters]

    bell.ring()
    rung = time.monotonic()
    for sitter, count in zip(sitters, before, strict=True):
        sitter.wait_for(count + 1)

    assert time.monotonic() - rung < FALLBACK / 2
    assert len(bells.given) == 1


def test_who_hears_no_bell_looks_from_time_to_time(bells: Bells, watcher: Watcher) -> None:
    sitter = Sitter(watcher)
    count = settled(sitter)

    sitter.wait_for(count + 2, within=4 * FALLBACK)

    assert sitter.looks[-1] - sitter.looks[-2] >= FALLBACK * 0.99


def test_bells_in_quick_succession_are_one_look(bells: Bells, watcher: Watcher) -> None:
    sitter = Sitter(watcher)
    bell = wait_until_heard(bells, watcher)
    count = settled(sitter)

    least = watcher.gap
    end = time.monotonic() + 0.2
    rung = 0
    while time.monotonic() < end:
        bell.ring()
        rung += 1
    sitter.wait_for(count + 2)

    gaps = [after - before for before, after in itertools.pairwise(sitter.looks[1:])]
    assert rung > 10 * len(gaps)
    assert min(gaps) >= 0.9 * least


def test_many_waiters_look_less_often(watcher: Watcher) -> None:
    assert watcher.gap == GAP
    sitters = [Sitter(watcher) for _ in range(20)]
    for sitter in sitters:
        sitter.wait_for(1)

    assert watcher.gap == pytest.approx(20 / LOOKS)


def test_a_time_that_has_come_ends_the_wait_after_a_last_look(watcher: Watcher) -> None:
    sitter = Sitter(watcher, until=0.05)
    sitter.thread.join(10)

    assert not sitter.thread.is_alive()
    assert sitter.looks[-1] >= sitter.until


def test_a_connection_that_is_hung_up_ends_the_wait(watcher: Watcher) -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        sitter = Sitter(watcher, hangup_fd=ours.fileno())
        sitter.wait_for(1)
        theirs.send(b"the next request, which is no hang-up")
        sitter.wait_for(3)
        assert sitter.thread.is_alive()

        theirs.shutdown(socket.SHUT_WR)
        sitter.thread.join(10)

    assert sitter.abandoned


def test_a_listener_that_breaks_is_replaced_and_nothing_is_missed(bells: Bells, watcher: Watcher) -> None:
    # Given somebody who waits while the database goes away
    sitter = Sitter(watcher)
    bell = wait_until_heard(bells, watcher)
    count = settled(sitter)
    bells.refusals = 2
    bell.broken = True
    bell.ring()

    # When it is there again
    end = time.monotonic() + 10
    while len(bells.given) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)

    # Then there is a look for what has happened meanwhile, and the next bell is heard
    assert bell.closed
    assert bells.asked == 4
    sitter.wait_for(count + 1)
    again = wait_until_heard(bells, watcher)
    count = len(sitter.looks)
    again.ring()
    sitter.wait_for(count + 1)


def test_closing_ends_all_waits_and_the_thread(bells: Bells, watcher: Watcher) -> None:
    sitter = Sitter(watcher)
    bell = wait_until_heard(bells, watcher)

    begun = time.monotonic()
    watcher.close()
    sitter.thread.join(10)

    assert not sitter.thread.is_alive()
    assert bell.closed
    assert time.monotonic() - begun < FALLBACK / 2
    assert not [thread for thread in threading.enumerate() if thread.name == "job-watcher"]
    watcher.close()


def test_who_comes_after_that_looks_once(watcher: Watcher) -> None:
    watcher.close()
    sitter = Sitter(watcher)
    sitter.thread.join(10)

    assert len(sitter.looks) == 1


def test_a_process_that_is_to_end_sends_everybody_home(bells: Bells, watcher: Watcher) -> None:
    sitter = Sitter(watcher)
    sitter.wait_for(1)

    watcher.is_stopping = lambda: True
    sitter.thread.join(2 * FALLBACK)

    assert not sitter.thread.is_alive()


def test_no_descriptor_is_left(bells: Bells) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(5):
        watcher = Watcher(bells.listen)
        sitter = Sitter(watcher)
        wait_until_heard(bells, watcher)
        watcher.close()
        sitter.thread.join(10)

    assert count() == before
