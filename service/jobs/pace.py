"""How many jobs one lane takes at once: a few that are known to be short, or one."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Seconds that the jobs of a lane should take together.
SECONDS = 0.005
#: Weight of the latest call in the mean.
WEIGHT = 0.1


class Pace:
    """Seconds that calls of each task take, as far as is known."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._means: dict[str, float] = {}

    def learn(self, task: str, seconds: float) -> None:
        """Take in how long a call took; the latest ones count most."""
        mean = self._means.get(task, seconds)
        self._means[task] = mean + WEIGHT * (seconds - mean)

    def shares(self, tasks: Sequence[str], lanes: int) -> list[int]:
        """Return how many jobs, from the first, each of up to ``lanes`` lanes takes."""
        # No lane takes from the others what would keep them busy.
        most = math.ceil(len(tasks) / max(1, lanes))
        shares: list[int] = []
        place = 0
        while place < len(tasks) and len(shares) < lanes:
            begin, left = place, SECONDS
            while place < min(len(tasks), begin + most):
                left -= self._means.get(tasks[place], SECONDS)
                if place > begin and left < 0:
                    break
                place += 1
                if left <= 0:
                    break
            shares.append(place - begin)
        return shares
