"""Whether the store of jobs can be used, for who must not be made to wait for the answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from service.api import problems
from service.errors import EverycoreError

#: Seconds for which a look is good enough.
FRESH = 1.0
#: Seconds that a look may take until the store counts as one that can't be used.
PATIENCE = 0.2


class StoreCheck:
    """Looks from time to time, in a thread of its own: a database that is away may take seconds to say so."""

    def __init__(self, look: Callable[[], object]) -> None:
        """``look`` raises ``StoreUnavailable``; nobody looks yet."""
        self._look = look
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looked = -math.inf
        self._usable = False

    def state(self) -> str:
        """Return ``ready`` or ``unavailable``."""
        with self._lock:
            thread = self._thread
            if thread is None and time.monotonic() - self._looked >= FRESH:
                thread = self._thread = threading.Thread(target=self._run, name="store-check", daemon=True)
                thread.start()
        if thread is not None:
            thread.join(PATIENCE)
        usable = self._usable and (thread is None or not thread.is_alive())
        return "ready" if usable else "unavailable"

    def _run(self) -> None:
        usable = False
        try:
            self._look()
            usable = True
        except EverycoreError as error:
            problems.note(error)
        finally:
            with self._lock:
                self._usable, self._looked, self._thread = usable, time.monotonic(), None
