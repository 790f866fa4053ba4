"""What is known about the cost of calls, to cut runs into chunks."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Seconds that a chunk should take: long against the cost of sending it, short for who waits behind it.
CHUNK_SECONDS = 0.025
#: A run shorter than this is not worth a second process.
WORTH_SPLITTING = 0.0005
#: Most calls in a chunk; their tickets must fit into a pipe.
MAX_CHUNK = 4096
#: A chunk whose arguments take more bytes than this takes no further call.
CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Estimate:
    """Cost of one call of a task, learned from those that ran."""

    #: Seconds one call runs; ``None`` before the first.
    seconds: float | None = None

    def learn(self, seconds: float) -> None:
        """Take in the mean of some more calls: up at once, down slowly, for a chunk too long costs more."""
        if self.seconds is None or seconds > self.seconds:
            self.seconds = seconds
        else:
            self.seconds += 0.3 * (seconds - self.seconds)

    def chunk(self, remaining: int, processes: int) -> int:
        """Return how many calls to send at once, if ``remaining`` (0: unknown) are left for ``processes``."""
        if self.seconds is None:
            return 1
        count = min(remaining or MAX_CHUNK, MAX_CHUNK, CHUNK_SECONDS / max(self.seconds, 1e-7))
        if remaining * self.seconds > WORTH_SPLITTING:
            count = min(count, math.ceil(remaining / processes))
        return max(1, int(count))

    def patience(self, count: int) -> float:
        """Return the seconds after which a chunk of ``count`` calls is late."""
        expected = count * (self.seconds or 0.0)
        return min(2 * CHUNK_SECONDS, max(0.005, 4 * expected))
