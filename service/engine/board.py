"""What the processes of a pipeline's run write down, for each other and for the owner to read at any time.

    row of a process | state, item in hand, counts, seconds      written by that process alone
    row of a step    | whose turn it is, next number to give     written by the one whose turn it is

It is shared memory, so what a process that was killed had in hand stays readable. Each word is written at
once, and by one process at a time; there is no lock that could be left taken.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import NamedTuple

#: Words of 8 bytes in a row.
_WORDS = 16
_ROW = 8 * _WORDS

#: Whole numbers of a process's row. ``NUMBER`` is that of the producer's item in hand, ``PLACE`` that of the
#: item among all that came to the step, ``AWAITED`` the place whose turn it waits for; -1 for none.
NUMBER, PLACE, AWAITED, TAKING, ITEMS_IN, ITEMS_OUT, SKIPPED = range(7)
#: Its seconds: computing, CPU time, and waiting for an item, for room for one, for a CPU slot, for its turn.
BUSY, CPU, INPUT, OUTPUT, SLOT, TURN = range(8, 14)
#: When the work that it does now began, by ``time.monotonic()``; 0 when it does none.
BEGUN = 14

#: Whole numbers of a step's row.
_NEXT_TURN, _NEXT_PLACE = range(2)


class Tally(NamedTuple):
    """What one process has counted."""

    items_in: int
    items_out: int
    skipped: int
    busy: float
    cpu: float
    input: float
    output: float
    slot: float
    turn: float


class Board:
    """The memory of one run, as one process sees it."""

    def __init__(self, fd: int, processes: int) -> None:
        """Map the memory file ``fd``, and own it from now on; ``processes`` rows come first."""
        self.fd = fd
        try:
            self._map = mmap.mmap(fd, 0)
        except BaseException:
            os.close(fd)
            raise
        self._processes = processes
        self._bytes = memoryview(self._map)
        #: The words as whole numbers, and the same words as seconds.
        self.ints = self._bytes.cast("q")
        self.floats = self._bytes.cast("d")

    @classmethod
    def create(cls, processes: int, steps: int) -> Board:
        """Return a board over new memory."""
        fd = os.memfd_create("everycore-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, _ROW * (processes + steps))
        board = cls(fd, processes)
        for row in range(processes):
            board.clear(row)
        return board

    # Of a process

    def at(self, row: int) -> int:
        """Return where a process's row begins, in words."""
        return _WORDS * row

    def clear(self, row: int) -> None:
        """Have the process hold nothing, and do nothing from now on."""
        start = self.at(row)
        if begun := self.floats[start + BEGUN]:
            self.floats[start + BUSY] += time.monotonic() - begun
        for word in (NUMBER, PLACE, AWAITED):
            self.ints[start + word] = -1
        self.ints[start + TAKING] = 0
        self.floats[start + BEGUN] = 0.0

    def number(self, row: int) -> int | None:
        """Return the number of the producer's item that the process has, or had when it died, in hand."""
        number = self.ints[self.at(row) + NUMBER]
        return None if number < 0 else number

    def has_item(self, row: int) -> bool:
        """Return whether the process has, or had when it died, an item; which one, it may not have noted."""
        start = self.at(row)
        return self.ints[start + NUMBER] >= 0 or self.ints[start + TAKING] > 0

    def tally(self, row: int, now: float) -> Tally:
        """Return what the process has counted, up to the time ``now``."""
        start = self.at(row)
        counts = (self.ints[start + word] for word in (ITEMS_IN, ITEMS_OUT, SKIPPED))
        seconds = (self.floats[start + word] for word in (BUSY, CPU, INPUT, OUTPUT, SLOT, TURN))
        tally = Tally(*counts, *seconds)
        begun = self.floats[start + BEGUN]
        return tally._replace(busy=tally.busy + max(0.0, now - begun)) if begun else tally

    # Of a step

    def _of_step(self, step: int) -> int:
        return _WORDS * (self._processes + step)

    def turn(self, step: int) -> int:
        """Return the place of the item whose results may leave the step now."""
        return self.ints[self._of_step(step) + _NEXT_TURN]

    def set_turn(self, step: int, place: int) -> None:
        """Give the turn to the item at that place."""
        self.ints[self._of_step(step) + _NEXT_TURN] = place

    def next_place(self, step: int) -> int:
        """Return the place, among all that come to the next step, of what this one passes on next."""
        return self.ints[self._of_step(step) + _NEXT_PLACE]

    def take_place(self, step: int) -> None:
        """Use up that place."""
        # Before it is sent: should the process die in between, a place stays empty, and none is had twice.
        self.ints[self._of_step(step) + _NEXT_PLACE] += 1

    def close(self) -> None:
        """Let go of the memory; a second call does nothing."""
        if self.fd < 0:
            return
        for view in (self.floats, self.ints, self._bytes):
            view.release()
        self._map.close()
        os.close(self.fd)
        self.fd = -1
