"""How several processes of one step pass their results on in the order in which the items came.

A process that has computed waits for its turn before it passes anything on, without a CPU slot. Items are
taken in order, so the item whose turn it is is always in somebody's hand. Should its process die, nobody
has it: those who wait see that, and go on without it. A missed wake-up is made up for by the same look.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from service.engine.board import AWAITED, PLACE, TAKING, TURN, Board
from service.engine.worktime import WorkTime

#: Seconds after which one who waits looks whether anybody is to be waited for.
LOOK_AGAIN = 0.05


class Turnstile:
    """The turns of one step, seen from one of its processes."""

    def __init__(
        self, board: Board, work: WorkTime, step: int, row: int, bells: Sequence[tuple[int, int]]
    ) -> None:
        """``bells`` are the row and the eventfd of each process of the step, this one's among them."""
        self._board = board
        self._work = work
        self._step = step
        self._at = board.at(row)
        self._bells = bells
        self._own = dict(bells)[row]
        self._poll = select.poll()
        self._poll.register(self._own, select.POLLIN)

    def wait(self, place: int) -> None:
        """Wait for the turn of the item at ``place``."""
        if self._board.turn(self._step) >= place:
            return
        self._work.pause()
        since = time.monotonic()
        ints = self._board.ints
        ints[self._at + AWAITED] = place
        while self._board.turn(self._step) < place:
            if self._poll.poll(1000 * LOOK_AGAIN):
                os.eventfd_read(self._own)
            else:
                self._look_for_the_lost()
        ints[self._at + AWAITED] = -1
        self._work.spend(TURN, since)

    def end(self, place: int) -> None:
        """Pass the turn on, after the item at ``place``."""
        # One that was taken for lost, and was not, has none to pass on.
        if self._board.turn(self._step) == place:
            self._give(place + 1)

    def _give(self, place: int) -> None:
        self._board.set_turn(self._step, place)
        for row, bell in self._bells:
            if self._board.ints[self._board.at(row) + AWAITED] == place:
                os.eventfd_write(bell, 1)

    def _look_for_the_lost(self) -> None:
        """Pass over an item that nobody has."""
        turn, ints = self._board.turn(self._step), self._board.ints
        for row, _ in self._bells:
            start = self._board.at(row)
            # In this order: one that is taking it notes what it took before it is through with taking.
            if ints[start + TAKING] or ints[start + PLACE] == turn:
                return
        if self._board.turn(self._step) == turn:
            self._give(turn + 1)
