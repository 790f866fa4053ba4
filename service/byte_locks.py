"""Locks on single bytes of a file, which need not have any.

A lock belongs to an open file description: all processes that share one hold it together, and it is gone with
the last of them that ends or closes it. Whether a byte is locked can be asked without locking it.

``man 2 fcntl``: open file description locks.
"""

from __future__ import annotations

import fcntl
import os
import struct

#: ``struct flock``: kind, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")
_UNLOCKED = struct.pack("h", fcntl.F_UNLCK)


def request(kind: int, start: int, length: int = 1) -> bytes:
    """Return what to ask of the kernel; ``kind`` is ``fcntl.F_RDLCK``, ``F_WRLCK`` or ``F_UNLCK``."""
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


def apply(fd: int, asked: bytes) -> None:
    """Lock, or unlock; raises ``OSError`` when others have a lock that is in the way."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, asked)


def try_apply(fd: int, asked: bytes) -> bool:
    """Lock, unless others have a lock that is in the way."""
    try:
        apply(fd, asked)
    except (BlockingIOError, PermissionError):
        return False
    return True


def conflicts(fd: int, asked: bytes) -> bool:
    """Whether others have a lock that is in the way; takes none."""
    # The kernel answers with that lock, or with the request turned into an unlock.
    return not fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked).startswith(_UNLOCKED)
