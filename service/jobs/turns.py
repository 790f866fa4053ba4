"""Turns of processes at something that one may do at a time.

Who is told to look again later, as SQLite tells who waits, finds that others were faster, perhaps for ever.
Here whoever stands at the gate is next, and who has just had its turn must come to the gate again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Seconds between two looks.
LOOK = 0.0005


@contextmanager
def at_the_gate(path: Path, patience: float) -> Generator[None, None, None]:
    """Be alone there, but for somebody who has stood there for ``patience`` seconds and may be halted."""
    # Opened each time: the lock is gone with its only descriptor, whoever dies, and no fork carries it on.
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        end = time.monotonic() + patience
        while not _lock(fd) and time.monotonic() < end:
            time.sleep(LOOK)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
