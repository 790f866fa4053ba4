"""A place in the line of those who wait for a pool process and, if they compute, for a CPU slot.

    join ─> wait ─> first in line ─> has a process ─> has a slot
                    (called by the pool)              (called by the bell of the slots)

Only the first of a line holds a process while it waits for a slot, and only it competes for slots with the
other workers. A run that has calls under way waits for its turn and for them in one ``poll``.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from service.engine.process import PoolProcess
from service.engine.slots import Holder
from service.errors import Abandoned

if TYPE_CHECKING:
    from service.engine.pool import Pool


class Turn:
    """One who stands in line; only one thread uses it."""

    def __init__(self, pool: Pool, cpu: int, place: Holder | None) -> None:
        """The pool puts it into the line; ``place`` is one of those there are for all lines together."""
        self.cpu = cpu
        self._place = place
        self._pool = pool
        self._called = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._process: PoolProcess | None = None
        self._announced = False

    def try_take(self, until: float) -> PoolProcess | None:
        """Take a process, and a slot if need be, if it is this one's turn and they are free.

        Raises ``Stopping`` when the pool is closed, and what ``Spawner.spawn`` raises.
        """
        self._pool.check_open()
        if self._pool.lines[self.cpu][0] is not self:
            return None
        if self._process is None:
            self._process = self._pool.process(self.cpu, until)
        process = self._process
        if process is None or (self.cpu and not self._acquire(process)):
            return None
        self._withdraw()
        self._process = None
        return process

    def _acquire(self, process: PoolProcess) -> bool:
        if not self._announced:
            process.holder.announce()
            self._announced = True
        return process.holder.try_acquire()

    def _withdraw(self) -> None:
        if self._announced and self._process is not None:
            self._process.holder.withdraw()
        self._announced = False

    def call(self) -> None:
        """Have it look again; the pool's lock is held."""
        os.eventfd_write(self._called, 1)

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to wait for; ``hear`` when one of them is readable."""
        return (self._called, self._pool.slots.bell) if self._announced else (self._called,)

    def hear(self) -> None:
        """Note what was to be heard; ``try_take`` should follow."""
        try:
            os.eventfd_read(self._called)
        except BlockingIOError:
            pass  # it was the bell
        if self._announced:
            self._pool.slots.hear()

    def wait(self, seconds: float) -> None:
        """Wait until it may be worth to try again."""
        poll = select.poll()
        for fd in self.filenos():
            poll.register(fd, select.POLLIN)
        if poll.poll(seconds * 1000):
            self.hear()

    def close(self) -> None:
        """Leave the line."""
        self._withdraw()
        pool, process = self._pool, self._process
        with pool.lock:
            line = pool.lines[self.cpu]
            line.remove(self)
            if line:
                line[0].call()
            os.close(self._called)
        if self._place is not None:
            self._place.close()
        if process is not None:
            self._process = None
            pool.give_back(process)


def check_connected(fd: int | None) -> None:
    """Raise ``Abandoned`` when the other end of the connection ``fd``, if there is one, is closed."""
    if fd is not None:
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP)
        if poll.poll(0):
            raise Abandoned
