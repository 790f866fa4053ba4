"""How long measuring may take, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

#: Seconds that pass in silence.
QUIET = 1.0


class Clock:
    """A budget of seconds that begins now."""

    def __init__(self, seconds: float, tell: Callable[[str], None], begun: float | None = None) -> None:
        """``tell`` gets a line for each step, once it has taken more than a moment.

        It may have ``begun`` before, at a ``time.monotonic()`` time.
        """
        self._begun = time.monotonic() if begun is None else begun
        self._tell = tell
        self.seconds = seconds
        #: ``time.monotonic()`` time at which it is used up.
        self.end = self._begun + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.end - time.monotonic())

    @property
    def took(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def part(self, share: float) -> Clock:
        """Return a clock that began when this one did, and has a share of its seconds."""
        return Clock(share * self.seconds, self._tell, self._begun)

    def step(self, text: str) -> None:
        """Say what is done now."""
        if self.took > QUIET:
            self._tell(text)

    def repeat(self, seconds: float, least: int, most: int) -> Iterator[None]:
        """Yield for so many seconds of what is left, ``least`` times at least and ``most`` times at most.

        At the end of the budget it is over after one time.
        """
        until = min(time.monotonic() + seconds, self.end)
        for number in range(most):
            now = time.monotonic()
            if number and (now >= self.end or (number >= least and now >= until)):
                return
            yield
