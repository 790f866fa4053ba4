"""Keeps the fork server up, with the tasks and what they share loaded, so that calls need not wait for it."""

from __future__ import annotations

import threading

from service.engine.spawner import Spawner
from service.errors import EverycoreError
from service.telemetry.logs import get_logger

_log = get_logger()

#: Seconds between two attempts to load them.
WARM_AGAIN = 5.0


class Warmer:
    """Loads the tasks and what they share, in a thread of its own, whenever they are not there."""

    def __init__(self, spawner: Spawner, closed: threading.Event) -> None:
        """Load nothing yet; ``closed`` tells when the pool takes no more work."""
        self._spawner = spawner
        self._closed = closed
        self._thread: threading.Thread | None = None

    def see_to_it(self) -> None:
        """Have them loaded, unless they are, or are being loaded."""
        if not self._spawner.ready and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._warm, name="pool-warmer", daemon=True)
            self._thread.start()

    def _warm(self) -> None:
        """Load them, and try again should that fail; returns when they are there."""
        while not self._closed.is_set():
            try:
                self._spawner.warm()
            except (EverycoreError, OSError) as error:
                if self._closed.is_set():
                    return  # it was ended while it loaded
                _log.error("the tasks can't be loaded", error=str(error))
            else:
                return
            self._closed.wait(WARM_AGAIN)
