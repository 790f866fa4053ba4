"""One point in time by which everything has to be over."""

from __future__ import annotations

import time


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; raise ``TimeoutError`` when there are none."""
        left = self._end - time.monotonic()
        # 0 would not be no time, but "do not wait" or even "wait for ever" for what takes a timeout.
        if left <= 0:
            raise TimeoutError
        return left
