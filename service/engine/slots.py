"""CPU slots shared by every process of the service.

A slot is a lock on one byte of a file. The kernel drops it when its holder dies, however that happens,
so no slot is ever lost. A lock belongs to an open file description; each pool process and the thread
that talks to it share one description, so either of the two can release: the pool process does when it
has computed, also while its owner is busy elsewhere, and the kernel does when it is dead.

Nobody can wait for "any one of N" locks. Who waits holds a shared lock on one more byte; who releases
sees that and puts a byte into the bell, a FIFO next to the file, which one waiter reads. A bell that
rings for nothing does no harm. One that was missed, because the holder was killed, is made up for by
looking again every ``RESCAN`` seconds.

``man 2 fcntl``: open file description locks.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds after which a waiter looks for a free slot without having been called.
RESCAN = 0.05

_FLOCK = struct.Struct("hhqqi4x")
_WAITING = 1 << 20


def _request(kind: int, start: int, length: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


_WAIT = _request(fcntl.F_RDLCK, _WAITING)
_WAIT_NO_MORE = _request(fcntl.F_UNLCK, _WAITING)
_RELEASE = _request(fcntl.F_UNLCK, 0, _WAITING)
_ASK = _request(fcntl.F_WRLCK, _WAITING)
_UNLOCKED = struct.pack("h", fcntl.F_UNLCK)


class Slots:
    """The budget of ``count`` slots kept in ``directory``, seen from one process."""

    def __init__(self, directory: Path, count: int) -> None:
        """Open, or make, the file and the bell."""
        directory.mkdir(parents=True, exist_ok=True)
        self.count = count
        self._takings = [_request(fcntl.F_WRLCK, slot) for slot in range(count)]
        self._path = directory / "slots"
        bell = directory / "bell"
        try:
            os.mkfifo(bell, 0o600)
        except FileExistsError:
            pass
        # Opened for reading and writing, a FIFO never blocks and never ends.
        self._bell = os.open(bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._watch = self.open()

    def open(self) -> Holder:
        """Return a new holder, which can hold one slot."""
        return Holder(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), self._bell)

    def try_acquire(self, holder: Holder) -> bool:
        """Take a slot for ``holder`` if one is free."""
        # Beginning at another byte than the neighbours do saves most failed attempts.
        first = holder.fd % self.count
        for step in range(self.count):
            try:
                fcntl.fcntl(holder.fd, fcntl.F_OFD_SETLK, self._takings[first - step])
            except (BlockingIOError, PermissionError):
                continue
            return True
        return False

    def acquire(self, holder: Holder, until: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait for a slot and tell whether there was one.

        ``until`` is a ``time.monotonic()`` time; ``give_up`` is asked every ``RESCAN`` seconds.
        """
        if self.try_acquire(holder):
            return True
        fcntl.fcntl(holder.fd, fcntl.F_OFD_SETLK, _WAIT)
        try:
            return self._wait(holder, until, give_up)
        finally:
            fcntl.fcntl(holder.fd, fcntl.F_OFD_SETLK, _WAIT_NO_MORE)

    def _wait(self, holder: Holder, until: float, give_up: Callable[[], bool]) -> bool:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        # The first look comes after the waiting was announced, or a release in between would be missed.
        while not give_up():
            if self.try_acquire(holder):
                return True
            left = until - time.monotonic()
            if left <= 0:
                break
            if poll.poll(min(left, RESCAN) * 1000):
                _take_byte(self._bell)
        return False

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return _conflicts(self._watch.fd)

    def give_way(self, patience: float = 0.005) -> None:
        """Let one who waits go first: until nobody waits, every slot is taken, or time is up."""
        until = time.monotonic() + patience
        while self.contended and time.monotonic() < until:
            if not self.try_acquire(self._watch):
                return
            self._watch.release()
            self._watch.ring()
            time.sleep(0.0002)

    def close(self) -> None:
        """Close the file and the bell."""
        self._watch.close()
        os.close(self._bell)


class Holder:
    """An open file description that can hold one slot; pool process and owner both have it."""

    def __init__(self, fd: int, bell: int) -> None:
        """Own ``fd``; ``bell`` stays its opener's."""
        self.fd = fd
        self.bell = bell

    def release(self) -> None:
        """Give the slot back; ``ring`` should follow."""
        fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _RELEASE)

    def ring(self) -> None:
        """Call one who waits for a slot, if anybody does."""
        if _conflicts(self.fd):
            try:
                os.write(self.bell, b"!")
            except BlockingIOError:
                pass  # full: it will ring long enough

    def close(self) -> None:
        """Close this copy of the description; the last one closed frees the slot."""
        os.close(self.fd)


def _conflicts(fd: int) -> bool:
    # The kernel answers with the lock that is in the way, or with the request turned into an unlock.
    return not fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _ASK).startswith(_UNLOCKED)


def _take_byte(fd: int) -> None:
    try:
        os.read(fd, 1)
    except BlockingIOError:
        pass  # another waiter was faster
