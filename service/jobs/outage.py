"""Says once that the store is away, not at each attempt to reach it."""

from __future__ import annotations

import time

from service.jobs.model import StoreUnavailable
from service.telemetry.logs import get_logger

_log = get_logger()

#: Seconds without an outage after which one is told of again.
SAY_AGAIN_SECONDS = 10.0


class Outages:
    """Those that one thread meets."""

    def __init__(self) -> None:
        """There were none yet."""
        self._say_again_at = 0.0

    def note(self, error: StoreUnavailable) -> None:
        """Say it, unless that was said not long ago."""
        now = time.monotonic()
        if now >= self._say_again_at:
            _log.error("the store can't be used", error=error.reason)
        self._say_again_at = now + SAY_AGAIN_SECONDS
