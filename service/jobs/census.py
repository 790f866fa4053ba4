"""How the store stands, for whoever must not be made to wait for the answer.

Prometheus asks ──> figures() ──┬─ fresh enough: what the last look found
                                └─ else a look, in a thread of its own ──> what is told at once ──> counts
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable

from service.errors import EverycoreError
from service.jobs.store import Store
from service.telemetry.logs import get_logger
from service.telemetry.metrics.jobs import Standing

#: Seconds for which a look is good enough, at least.
FRESH = 3.0
#: The same in lengths of the look, so that it takes a twentieth of the time, however much waits; and at most.
SHARE, STALE = 20, 60.0
#: Seconds that a look may take to say anything until the store counts as one that can't be used, and seconds
#: that jobs may be counted before what was counted last has to do.
PATIENCE = 0.25

_log = get_logger()


class Census:
    """Looks when it is asked, not more often than is good for the store."""

    def __init__(self, store: Store, lease: float, fresh: float = FRESH) -> None:
        """``lease`` is that of runners, in seconds; nobody looks yet."""
        self._store = store
        self._lease = lease
        self._fresh = fresh
        self._changed = threading.Condition()
        self._is_looking = False
        self._began = self._look_at = -math.inf
        self._has_answered = False
        self._found: Standing | None = None

    def figures(self) -> Standing | None:
        """Return how the store stands, ``None`` when it can't be used; takes half a second at most."""
        with self._changed:
            if not self._is_looking and time.monotonic() >= self._look_at:
                self._begin()
            if not self._wait_for(lambda: self._has_answered or not self._is_looking, PATIENCE):
                return None
            self._wait_for(lambda: not self._is_looking, 2 * PATIENCE)
            return self._found

    def _wait_for(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait until some seconds after the look began; who asks again while it hangs need not wait."""
        left = self._began + seconds - time.monotonic()
        return self._changed.wait_for(true, max(0.0, left))

    def _begin(self) -> None:
        self._is_looking, self._has_answered = True, False
        self._began = time.monotonic()
        try:
            threading.Thread(target=self._look, name="census", daemon=True).start()
        except RuntimeError:  # there are no more threads now
            self._is_looking, self._found = False, None

    def _look(self) -> None:
        found = None
        try:
            standing = self._store.standing(self._lease)
            self._tell(standing)
            queued, scheduled = self._store.waiting()
            found = dataclasses.replace(standing, queued=queued, scheduled=scheduled)
        except EverycoreError:
            pass  # that the store is away is said by those that need it
        except Exception:  # noqa: BLE001 - a thread of its own has nobody to tell
            _log.exception("the store could not be looked at")
        with self._changed:
            self._found = found
            now = time.monotonic()
            # One that failed may have waited for long, and says nothing of the next.
            took = 0.0 if found is None else now - self._began
            self._look_at = now + max(self._fresh, min(STALE, SHARE * took))
            self._is_looking = False
            self._changed.notify_all()

    def _tell(self, standing: Standing) -> None:
        """Tell what is known already, with what was counted last."""
        with self._changed:
            if (last := self._found) is not None:
                standing = dataclasses.replace(standing, queued=last.queued, scheduled=last.scheduled)
            self._found, self._has_answered = standing, True
            self._changed.notify_all()
