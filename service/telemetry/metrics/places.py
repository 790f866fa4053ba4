"""Places in the folder: a number for each process that counts, and the files that go by it.

    place_0            locked by the process that has the place; the kernel lets go when that ends
    counter_0.db       what it has counted, and those that had the place before it
    gauge_livesum_0.db what is true as long as it lives

prometheus-client names files by process id. With many restarts there would be more and more of them, for
the counts of a process that died must stay. Here the next process to have the place goes on counting
in its files, so there are never more than there were processes at a time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_LOCK = "place_"
#: Bytes that each kind of file has from the beginning. Where a disk is full, a process that writes to memory
#: mapped to a file for which there is no space is killed; so there is some before anything is counted.
_SPACE = {"counter": 128 * 1024, "gauge_livesum": 64 * 1024, "histogram": 1024 * 1024}


class Place:
    """The place of this process; a fork of it gets another."""

    def __init__(self, folder: Path) -> None:
        """Take the first one that is free; raises ``OSError`` when there is no space for its files."""
        self._folder = folder
        self._take()
        os.register_at_fork(after_in_child=self._take_another)

    def number(self) -> int:
        """Return its number."""
        return self._number

    def _take(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in count():
            fd = os.open(self._folder / f"{_LOCK}{number}", os.O_RDWR | os.O_CREAT, 0o600)
            if _try_lock(fd):
                # Open until the process ends, and locked as long.
                self._number, self._fd = number, fd
                _forget_gauges(self._folder, number)
                _make_files(self._folder, number)
                return
            os.close(fd)

    def _take_another(self) -> None:
        os.close(self._fd)
        self._take()


def _make_files(folder: Path, number: int) -> None:
    for kind, size in _SPACE.items():
        fd = os.open(folder / f"{kind}_{number}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # What is there already stays as it is.
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)


def forget_the_dead(folder: Path) -> None:
    """Remove what was true only while processes lived that have ended."""
    for lock in folder.glob(f"{_LOCK}*"):
        with _if_free(lock) as free:
            if free:
                _forget_gauges(folder, int(lock.name.removeprefix(_LOCK)))


def _forget_gauges(folder: Path, number: int) -> None:
    for gauge in folder.glob(f"gauge_live*_{number}.db"):
        gauge.unlink(missing_ok=True)


@contextmanager
def _if_free(lock: Path) -> Iterator[bool]:
    """Keep others from taking a place for a moment, if nobody has it."""
    fd = os.open(lock, os.O_RDWR)
    try:
        yield _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
