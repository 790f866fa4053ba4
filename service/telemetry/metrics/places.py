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
from itertools import count
from pathlib import Path

from service.byte_locks import apply, conflicts, request, try_apply

_LOCK, _LIVING = "place_", "gauge_live"
# The bytes of a lock file: whose place it is, and that the gauges are theirs, not of one that had it before.
_TAKEN, _READY = request(fcntl.F_WRLCK, 0), request(fcntl.F_WRLCK, 1)
#: Bytes that the files of our metrics have from the beginning. On a full disk a process is killed that writes
#: to memory mapped to a file for which there is no space; so there is some before anything is counted.
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
            fd = os.open(_lock_of(self._folder, number), os.O_RDWR | os.O_CREAT, 0o600)
            if try_apply(fd, _TAKEN):
                # Open until the process ends, and locked as long.
                self._number, self._fd = number, fd
                for gauge in self._folder.glob(f"{_LIVING}*_{number}.db"):
                    gauge.unlink()
                for kind, size in _SPACE.items():
                    _give_space(self._folder / f"{kind}_{number}.db", size)
                apply(fd, _READY)  # which nobody can have who has not the place
                return
            os.close(fd)

    def _take_another(self) -> None:
        os.close(self._fd)
        self._take()


def files_to_read(folder: Path) -> list[Path]:
    """Return all files, but what was true only while processes lived that have ended."""
    return [file for file in folder.glob("*.db") if _has_content(file) and not _is_of_the_dead(file)]


def _give_space(file: Path, size: int) -> None:
    # A new one gets its name when it is whole: a scrape may read it at any time.
    new = file if file.exists() else file.with_suffix(".new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # What is there already stays as it is.
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
    new.replace(file)


def _has_content(file: Path) -> bool:
    try:
        # Without, it has just been made, for a metric that is none of ours.
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False  # of a place that another process has just taken


def _is_of_the_dead(file: Path) -> bool:
    if not file.name.startswith(_LIVING):
        return False
    try:
        fd = os.open(_lock_of(file.parent, file.stem.rpartition("_")[2]), os.O_RDONLY)
    except FileNotFoundError:
        return False  # of a program that has no place, and counts here all the same
    try:
        # Only asked: locked for a moment, the place would seem taken to a process that starts right then.
        return not conflicts(fd, _READY)
    finally:
        os.close(fd)


def _lock_of(folder: Path, number: int | str) -> Path:
    return folder / f"{_LOCK}{number}"
