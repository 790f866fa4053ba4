"""CPU slots shared by every process of the service.

A slot is a lock on one byte of a file. A lock belongs to an open file description; each pool process and
its owner share one, so either of the two can release: the pool process does when it has computed, also
while its owner is busy elsewhere, and the owner does when the process is dead. When both are, the kernel
does, so no slot is ever lost.

Nobody can wait for "any one of N" locks. Who waits holds a shared lock on one more byte; who releases
sees that and puts a byte into the bell, a FIFO next to the file, which one waiter reads. A bell that
rings for nothing does no harm. One that was missed, because the holder was killed, is made up for by
looking again every ``RESCAN`` seconds.
"""

from __future__ import annotations

import fcntl
import functools
import os
import select
import time
import weakref
from pathlib import Path

from service.byte_locks import apply, conflicts, request, try_apply

#: Seconds after which a waiter looks for a free slot without having been called.
RESCAN = 0.05

_WAITING = 1 << 20

_WAIT = request(fcntl.F_RDLCK, _WAITING)
_WAIT_NO_MORE = request(fcntl.F_UNLCK, _WAITING)
_RELEASE = request(fcntl.F_UNLCK, 0, _WAITING)
_RELEASE_ALL = request(fcntl.F_UNLCK, 0, _WAITING + 1)
_ASK = request(fcntl.F_WRLCK, _WAITING)


class Slots:
    """The budget of ``count`` slots kept in ``directory``, seen from one process.

    Its descriptors are closed when the last who uses them is gone: a run may outlive its pool.
    """

    def __init__(self, directory: Path, count: int) -> None:
        """Open, or make, the file and the bell."""
        directory.mkdir(parents=True, exist_ok=True)
        self.count = count
        self._path = directory / "slots"
        bell = directory / "bell"
        try:
            os.mkfifo(bell, 0o600)
        except FileExistsError:
            pass
        # Opened for reading and writing, a FIFO never blocks and never ends.
        self.bell = os.open(bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.bell)
        self._watch = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._watch)

    def open(self) -> Holder:
        """Return a new holder, which can hold one slot."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return Holder(fd, self.bell, self.count, self)

    def try_take(self) -> Holder | None:
        """Return a new holder that has a slot, or ``None`` when all are taken."""
        holder = self.open()
        if holder.try_acquire():
            return holder
        holder.close()
        return None

    def hear(self) -> None:
        """Take one ring of the bell, if there is one."""
        _hear(self.bell)

    @property
    def taken(self) -> int:
        """How many slots are held."""
        return self._taken(0, self.count)

    def _taken(self, first: int, count: int) -> int:
        # The kernel tells whether a stretch has a lock, not how many.
        if not count or not conflicts(self._watch, request(fcntl.F_WRLCK, first, count)):
            return 0
        if count == 1:
            return 1
        half = count // 2
        return self._taken(first, half) + self._taken(first + half, count - half)

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return conflicts(self._watch, _ASK)

    def give_way(self, patience: float = 0.005) -> None:
        """Let one who waits go first: until nobody waits, every slot is taken, or time is up."""
        until = time.monotonic() + patience
        while self.contended and self._any_free() and time.monotonic() < until:
            time.sleep(0.0002)

    def _any_free(self) -> bool:
        # Asking takes no lock, so it can't get in the way of the one who shall have the slot.
        return any(not conflicts(self._watch, _taking(slot)) for slot in range(self.count))


class Holder:
    """An open file description that can hold one slot; pool process and owner both have it."""

    def __init__(self, fd: int, bell: int, count: int, slots: Slots | None = None) -> None:
        """Own ``fd``; ``bell`` belongs to ``slots``, which lives for as long as a holder does."""
        self.fd = fd
        self.bell = bell
        self._count = count
        self._slots = slots

    def try_acquire(self) -> bool:
        """Take a slot if one is free."""
        # Beginning at another byte than the neighbours do saves most failed attempts.
        first = self.fd % max(1, self._count)
        return any(try_apply(self.fd, _taking((first + step) % self._count)) for step in range(self._count))

    def acquire(self) -> None:
        """Wait for a slot, for as long as it takes."""
        self.announce()
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        while not self.try_acquire():
            if poll.poll(RESCAN * 1000):
                _hear(self.bell)
        self.withdraw()

    def announce(self) -> None:
        """Say that it waits; it must try once more after that, or it may miss a release."""
        apply(self.fd, _WAIT)

    def withdraw(self) -> None:
        """Say that it waits no more."""
        apply(self.fd, _WAIT_NO_MORE)

    @property
    def contended(self) -> bool:
        """Whether somebody else waits for a slot."""
        return conflicts(self.fd, _ASK)

    def release(self) -> None:
        """Give the slot back; ``ring`` should follow."""
        apply(self.fd, _RELEASE)

    def let_go(self) -> None:
        """Give back whatever it holds, in the place of a process that died; ``ring`` should follow."""
        apply(self.fd, _RELEASE_ALL)

    def ring(self) -> None:
        """Call one who waits for a slot, if anybody does."""
        if self.contended:
            try:
                os.write(self.bell, b"!")
            except BlockingIOError:
                pass  # full: it will ring long enough

    def close(self) -> None:
        """Close this copy of the description; the last one closed frees the slot."""
        os.close(self.fd)


@functools.cache
def _taking(slot: int) -> bytes:
    return request(fcntl.F_WRLCK, slot)


def _hear(bell: int) -> None:
    try:
        os.read(bell, 1)
    except BlockingIOError:
        pass  # another waiter was faster
