"""Which workers serve while a reload replaces them: the old ones, until a new one can.

    SIGHUP ─> master: begin ─> new workers import and load ─> one of them: open ─> the new ones take
                                                                                connections, the old leave

Two numbers in memory that all of them share, for the master has made it before it forked them.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

_NEWEST, _OPEN = 0, 1


class Generations:
    """Workers are numbered by the reload that they came with; those of the start are generation 0."""

    def __init__(self) -> None:
        """Make the memory; to be called in the master."""
        # Eight bytes each, which are written and read at once.
        self._numbers = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def begin(self) -> None:
        """Let the workers that are forked from now on be a new generation."""
        self._numbers[_NEWEST] += 1

    def newest(self) -> Generation:
        """Return the one that a worker belongs to which is forked now."""
        return Generation(self._numbers, self._numbers[_NEWEST])


@dataclass(frozen=True)
class Generation:
    """One of them, as seen by a worker that belongs to it."""

    _numbers: memoryview
    number: int

    @property
    def is_open(self) -> bool:
        """Whether its workers are to take connections."""
        return self._numbers[_OPEN] >= self.number

    @property
    def is_relieved(self) -> bool:
        """Whether workers of a newer one take connections."""
        return self._numbers[_OPEN] > self.number

    @property
    def is_outdated(self) -> bool:
        """Whether there are workers of a newer one, which may not be ready."""
        return self._numbers[_NEWEST] > self.number

    def open(self) -> None:
        """Say that a worker of this generation is ready to take connections."""
        self._numbers[_OPEN] = max(self._numbers[_OPEN], self.number)

    def give_up(self) -> None:
        """Say that an older one is served no more, whether the newest is ready or not."""
        self._numbers[_OPEN] = max(self._numbers[_OPEN], self._numbers[_NEWEST])
