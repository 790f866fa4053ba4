"""What is known about the cost of calls, to cut runs into chunks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: Seconds that a chunk should take: long against the cost of sending it, short for who waits behind it.
CHUNK_SECONDS = 0.025
#: A run shorter than this is not worth a second process.
WORTH_SPLITTING = 0.0005
#: Most calls in a chunk; their tickets must fit into a pipe.
MAX_CHUNK = 4096
#: A chunk whose arguments take more bytes than this takes no further call.
CHUNK_BYTES = 4 * 1024 * 1024
#: No chunk is late before this many seconds.
LEAST_PATIENCE = 0.005
#: By how much one call can change what calls are thought to take usually.
STEP = 1.2
#: What the latest value counts in a mean.
MEAN_WEIGHT = 0.1


@dataclass(slots=True)
class Mean:
    """A mean in which the latest count most."""

    value: float = 0.0
    _weight: float = 1.0

    def add(self, value: float) -> None:
        """Take one more in; the first few count as in a plain mean."""
        self.value += self._weight * (value - self.value)
        if self._weight > MEAN_WEIGHT:
            self._weight = max(MEAN_WEIGHT, self._weight / (1 + self._weight))


class Remembered(Generic[T]):
    """An answer that is good for a moment, and would cost too much to be found each time."""

    def __init__(self, seconds: float, find: Callable[[], T]) -> None:
        """Find nothing yet."""
        self._seconds = seconds
        self._find = find
        # One object, so that threads see a time and the answer that belongs to it.
        self._found: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return the answer, as of at most ``seconds`` ago."""
        now = time.monotonic()
        found = self._found
        if found is None or now - found[0] > self._seconds:
            self._found = found = (now, self._find())
        return found[1]


@dataclass(slots=True)
class Estimate:
    """Cost of one call of a task, learned from those that ran."""

    #: Seconds one call runs; ``None`` before the first.
    seconds: float | None = None
    #: What one usually runs, 0 before the first: a single call that was held up says nothing of the others.
    usual: float = 0.0

    def learn(self, seconds: float) -> None:
        """Take in the mean of some more calls: up at once, down slowly, for a chunk too long costs more."""
        # A running median: up or down by a step, however far the new value is away.
        self.usual = min(max(seconds, self.usual / STEP), self.usual * STEP) if self.usual else seconds
        if self.seconds is None or seconds > self.seconds:
            self.seconds = seconds
        else:
            self.seconds += 0.3 * (seconds - self.seconds)

    def chunk(self, remaining: int, processes: int) -> int:
        """Return how many calls to send at once, if ``remaining`` (0: unknown) are left for ``processes``."""
        if self.seconds is None:
            return 1
        if 0 < remaining * (self.usual or self.seconds) <= WORTH_SPLITTING:
            return min(remaining, MAX_CHUNK)
        most = min(MAX_CHUNK, CHUNK_SECONDS / max(self.seconds, 1e-7))
        return max(1, int(min(most, math.ceil(remaining / processes) if remaining else most)))

    def patience(self, count: int) -> float:
        """Return the seconds after which a chunk of ``count`` calls is late."""
        expected = count * (self.seconds or 0.0)
        return min(2 * CHUNK_SECONDS, max(LEAST_PATIENCE, 4 * expected))
