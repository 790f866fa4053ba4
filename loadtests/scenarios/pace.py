"""When a user asks next, so that all of them together ask at a certain rate."""

from __future__ import annotations

import random

#: Seconds that a user may be behind and still catch up; what it is behind beyond that is never asked.
BEHIND = 5.0


class Pace:
    """Moments at random distances, as those of many people who know nothing of each other are (Poisson).

    They don't depend on how fast answers come: a user that waited longer asks sooner after that.
    """

    def __init__(self, rate: float, now: float) -> None:
        """``rate`` is in requests a second, ``now`` in seconds of some clock."""
        self._rate = rate
        self._due = now

    def wait(self, now: float) -> float:
        """Return the seconds from ``now`` to the next moment; 0 for one that has passed."""
        self._due = max(self._due + random.expovariate(self._rate), now - BEHIND)
        return max(0.0, self._due - now)
