"""Memory files that are used again: a writer has one back when no reader uses it any more.

    Lender: take ──> fill ──> lend ──descriptor, number──> Borrower: read ──> views in use ──> no view left
      ^                                                                                            │
      └────────────────── the memory itself says that no block in it is valid ─────────────────────┘

Memory that was used before costs a copy only: its pages are there, and both sides have them mapped. When a
reader is killed, or keeps views for long, its memory never comes back, and the writer forgets it in time.
A mapping that is kept takes a descriptor, so a reader that keeps many values has copies of the further ones.

Views are counted where they were made: a process that was forked meanwhile may not use its copies of them
for longer, and starts with no memory.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import Any, NamedTuple

from service.engine.transport import KEEP, Arena

#: Most memory files that either side keeps, and most bytes in them.
MOST, MOST_BYTES = 32, 4 * KEEP
#: Most values that may keep memory which is not looked after any more.
KEPT = 32
#: Bytes of the number of a memory file.
NUMBER = 8


class Loan(NamedTuple):
    """Memory with a number that no other has."""

    number: bytes
    arena: Arena


class Shelf:
    """Memory files by number; what was put there longest ago comes first."""

    def __init__(self) -> None:
        """Be empty."""
        self.arenas: dict[bytes, Arena] = {}
        self._bytes = 0

    def put(self, number: bytes, arena: Arena) -> None:
        """Put a file there, which stays as large as it is."""
        self.arenas[number] = arena
        self._bytes += len(arena.mapping)

    def take(self, number: bytes) -> Arena | None:
        """Take a file away, if it is there."""
        arena = self.arenas.pop(number, None)
        if arena is not None:
            self._bytes -= len(arena.mapping)
        return arena

    def drop(self, number: bytes) -> Arena:
        """Let go of a file that is there."""
        arena = self.take(number)
        assert arena is not None
        arena.close()
        return arena

    def one_too_many(self) -> bytes | None:
        """Return the number of a file to do without."""
        if len(self.arenas) <= MOST and self._bytes <= MOST_BYTES:
            return None
        return next(iter(self.arenas))

    def clear(self) -> None:
        """Let go of all files."""
        while self.arenas:
            self.arenas.popitem()[1].close()
        self._bytes = 0


class Lender:
    """The memory of one writer."""

    def __init__(self) -> None:
        """Have none yet."""
        self._lent = Shelf()
        self._pid = os.getpid()

    def fill(self, pickled: bytes, buffers: list[memoryview]) -> Loan:
        """Return memory with a pickled value in it; raises ``OSError`` when there is no descriptor for it."""
        loan = self._take()
        loan.arena.hold(pickled, buffers)
        return loan

    def _take(self) -> Loan:
        if self._pid != os.getpid():
            self.close()
            self._pid = os.getpid()
        for number, arena in self._lent.arenas.items():
            if not arena.committed:
                self._lent.take(number)
                arena.reset()
                return Loan(number, arena)
        return Loan(os.urandom(NUMBER), Arena.create())

    def lend(self, loan: Loan) -> None:
        """Keep an eye on memory that was sent."""
        if len(loan.arena.mapping) > KEEP:
            loan.arena.close()
            return
        self._lent.put(*loan)
        while number := self._lent.one_too_many():
            self._lent.drop(number)

    def close(self) -> None:
        """Let go of all memory; readers keep theirs."""
        self._lent.clear()


class Borrower:
    """The memory that one reader was sent."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known = Shelf()
        #: What was read and not given back, the oldest first.
        self.in_use: dict[bytes, Arena] = {}
        self._kept: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._pid = os.getpid()

    def read(self, number: bytes, fd: int) -> Any:
        """Return the value in the memory of that number; owns ``fd``, its descriptor, from now on.

        Raises whatever unpickling raises, and ``OSError`` when it can't be mapped.
        """
        arena = self._known.take(number)
        if arena is None:
            arena = Arena(fd)
        else:
            os.close(fd)
            arena.reset()
        self.in_use[number] = arena
        try:
            return arena.load(copy=len(self._kept) >= KEPT)
        finally:
            self._known.put(number, arena)
            if len(arena.mapping) > KEEP:
                self._forget(number)
            while too_many := self._known.one_too_many():
                self._forget(too_many)

    def give_back(self) -> None:
        """Give back what nobody uses any more."""
        if self._pid != os.getpid():
            self.close()
            self._pid = os.getpid()
        for number, arena in list(self.in_use.items()):
            if arena.reusable:
                del self.in_use[number]
                arena.clear()

    def _forget(self, number: bytes) -> None:
        arena = self._known.drop(number)
        if self.in_use.pop(number, None) is not None:
            self._kept.add(arena.mapping)

    def close(self) -> None:
        """Let go of all memory; views of it stay valid."""
        self.in_use.clear()
        self._known.clear()
