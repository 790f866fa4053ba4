"""When a process of a pipeline may compute, and what its time goes into.

A process holds a CPU slot only while it runs the user's code. Before it waits for anything (an item, room for
one, its turn, a slot) it gives its slot back. So whoever holds a slot goes on by itself, and processes of
one pipeline can't wait in a circle for the slots of each other, however few slots there are.
"""

from __future__ import annotations

import math
import signal
import time

from service.engine.board import BEGUN, BUSY, CPU, SLOT, Board
from service.engine.slots import Holder

#: Seconds for which a slot is kept while others wait for one.
SLICE = 0.025
#: Seconds that one who waits has to take a slot that was given back for it.
HAND_OVER = 0.0005
#: Shortest time that the kernel's timer can be set to; 0 would turn it off.
_SOON = 1e-6


class WorkTime:
    """The slot, the limits and the clock of one process, which starts out waiting."""

    def __init__(self, board: Board, row: int, slot: Holder | None, deadline: float) -> None:
        """``slot`` is how it gets a CPU slot, if it takes one; at ``deadline`` the kernel kills it."""
        self._board = board
        self._at = board.at(row)
        self._slot = slot
        self._deadline = deadline
        #: Seconds that the item in hand may still take, and whether they pass only when it works on.
        self._left = math.inf
        self._held = False
        self._begun = 0.0
        self._slice_ends = 0.0
        self._cpu = time.process_time()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._set_timer(math.inf)

    def allow(self, seconds: float) -> None:
        """Kill the process, whatever code it is in, when it works for more than ``seconds`` from now."""
        if self._begun:
            self._count()
            self._set_timer(seconds)
        self._left, self._held = seconds, False

    def hold(self) -> None:
        """Let no limit strike but the deadline until it works on: what is done is not late."""
        if self._begun and self._left < math.inf and not self._held:
            self._count()
            self._held = True
            self._set_timer(math.inf)

    def resume(self) -> None:
        """Work, as soon as there is a slot."""
        if self._begun:
            if self._held:
                self._count()
                self._held = False
                self._set_timer(self._left)
            return
        now = time.monotonic()
        if self._slot is not None and not self._slot.try_acquire():
            asked = now
            self._slot.acquire()
            now = time.monotonic()
            self._board.floats[self._at + SLOT] += now - asked
        self._begun = self._board.floats[self._at + BEGUN] = now
        self._slice_ends = now + SLICE
        if self._left < math.inf:
            self._set_timer(self._left)

    def pause(self) -> None:
        """Do nothing that takes a CPU from now on."""
        if not self._begun:
            return
        self._count()
        self._begun = self._board.floats[self._at + BEGUN] = 0.0
        if self._left < math.inf and not self._held:
            self._set_timer(math.inf)
        self._held = False
        if self._slot is not None:
            self._slot.release()
            self._slot.ring()

    def go_on(self) -> None:
        """Work; others who wait for a slot may have this one first, if it was kept for long enough."""
        if self._begun and time.monotonic() >= self._slice_ends:
            contended = self._slot is not None and self._slot.contended
            self.pause()
            if contended:
                time.sleep(HAND_OVER)
        self.resume()

    def spend(self, word: int, since: float) -> None:
        """Note that it waited, for what ``word`` of the board says."""
        self._board.floats[self._at + word] += time.monotonic() - since

    def close(self) -> None:
        """Stop working; what comes next in this process has no limits of this one."""
        self.pause()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _count(self) -> None:
        now, cpu = time.monotonic(), time.process_time()
        spent = now - self._begun
        self._board.floats[self._at + BUSY] += spent
        self._board.floats[self._at + CPU] += cpu - self._cpu
        if not self._held:
            self._left -= spent
        self._begun = self._board.floats[self._at + BEGUN] = now
        self._cpu = cpu

    def _set_timer(self, seconds: float) -> None:
        until = min(seconds, self._deadline - time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, max(_SOON, until) if until < math.inf else 0)
