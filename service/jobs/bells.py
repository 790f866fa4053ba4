"""Bells for processes that share a SQLite file: who has changed something rings, who listens hears.

Each listener has a FIFO in a folder beside the file; who rings writes a byte into each. A FIFO that nobody
reads belongs to a process that is gone, and is removed; one gets its name only when its owner reads it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path


class Bell:
    """What one listener hears."""

    def __init__(self, folder: Path) -> None:
        """Hang it up in ``folder``, which is made beside the file if it is missing."""
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._path, unread = folder / name, folder / f".{name}"
        os.mkfifo(unread, 0o600)
        # Opened for reading and writing, a FIFO never blocks and never ends.
        try:
            self._fd = os.open(unread, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            unread.rename(self._path)
        finally:
            unread.unlink(missing_ok=True)

    def fileno(self) -> int:
        """Return the descriptor that is readable when it has rung."""
        return self._fd

    def hear(self) -> None:
        """Take in what has rung."""
        try:
            while os.read(self._fd, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Take it down; a second call does nothing."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def ring(folder: Path) -> None:
    """Ring every bell in ``folder``, as far as possible: what it is rung for has happened already."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return  # nobody has ever listened
    for path in paths:
        if not path.name.startswith("."):
            _ring(path)


def _ring(path: Path) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            with contextlib.suppress(OSError):
                path.unlink()
        return
    try:
        os.write(fd, b"!")
    except OSError:
        pass  # it is full, so there is enough to hear
    finally:
        os.close(fd)
