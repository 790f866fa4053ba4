"""Places in the folder: a number for each process that counts, and the files that go by it.

    place_0            locked by the process that has the place; the kernel lets go when that ends, and
                       tells who asks whether it is locked without locking it (``man 2 fcntl``: F_OFD_GETLK)
    counter_0.db       what it has counted, and those that had the place before it
    gauge_livesum_0.db what is true as long as it lives

prometheus-client names files by process id. With many restarts there would be more and more of them, for
the counts of a process that died must stay. Here the next process to have the place goes on counting
in its files, so there are never more than there were processes at a time.
"""

from __future__ import annotations

import fcntl
import os
import struct
from itertools import count
from pathlib import Path

_LOCK = "place_"
#: Its bytes, which need not be there to be locked: whose place it is, and that the gauges are theirs.
_TAKEN, _READY = 0, 1
#: The kinds of files, and their bytes from the beginning. On a full disk a process is killed that writes to
#: memory mapped to a file for which there is no space; so there is some before anything is counted.
_SPACE = {"counter": 128 * 1024, "gauge_livesum": 64 * 1024, "histogram": 1024 * 1024}
#: What ``man 2 fcntl`` calls ``struct flock``: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")


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
            if _try_lock(fd, _TAKEN):
                # Open until the process ends, and locked as long.
                self._number, self._fd = number, fd
                for kind in _SPACE:
                    _make_file(self._folder, kind, number)
                _try_lock(fd, _READY)
                return
            os.close(fd)

    def _take_another(self) -> None:
        os.close(self._fd)
        self._take()


def files_to_read(folder: Path) -> list[Path]:
    """Return the files of all places, but what was true only while processes lived that have ended."""
    return [
        file
        for kind in _SPACE
        for file in folder.glob(f"{kind}_*.db")
        if not _is_gauge(kind) or _is_ready(folder, int(file.stem.removeprefix(f"{kind}_")))
    ]


def _is_gauge(kind: str) -> bool:
    return kind.startswith("gauge_live")


def _make_file(folder: Path, kind: str, number: int) -> None:
    file = folder / f"{kind}_{number}.db"
    if _is_gauge(kind):
        file.unlink(missing_ok=True)  # first of all: the disk may be full
    elif file.exists():
        return  # and goes on being counted in
    new = file.with_suffix(".new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, _SPACE[kind])
    finally:
        os.close(fd)
    # All of it or nothing: a scrape may read the file at any time.
    new.replace(file)


def _lock_of(folder: Path, number: int) -> Path:
    return folder / f"{_LOCK}{number}"


def _is_ready(folder: Path, number: int) -> bool:
    # Locked for a moment only to find out, the place would be taken to a process that starts right then.
    fd = os.open(_lock_of(folder, number), os.O_RDWR)
    try:
        kind, *_ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _lock(_READY)))
    finally:
        os.close(fd)
    return bool(kind != fcntl.F_UNLCK)


def _try_lock(fd: int, byte: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _lock(byte))
    except BlockingIOError:
        return False
    return True


def _lock(byte: int) -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
