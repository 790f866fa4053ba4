"""Which runners are gone: those whose beat stands still for as long as a lease.

Each runner watches the others' beats by its own monotonic clock; no time is ever compared with one of another
process or with the time of day, so a clock that is set disturbs no lease. Kubernetes' leader election does it
in this way (client-go, ``leaderelection``: a lease is observed, not read).
"""

from __future__ import annotations

from collections.abc import Mapping

#: Part of a lease without a look after which all must be watched anew: it may be the database that was away.
MAX_GAP = 0.5


class Watch:
    """Beats as one runner sees them."""

    def __init__(self, lease: float) -> None:
        """``lease`` is in seconds."""
        self._lease = lease
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked = float("-inf")

    def gone(self, beats: Mapping[str, int], now: float) -> dict[str, int]:
        """Take in the beats of all runners at a monotonic time; return those that stand still, and where."""
        if now - self._looked > MAX_GAP * self._lease:
            self._seen = {}
        self._looked = now
        self._seen = {
            runner: self._seen[runner] if self._seen.get(runner, (None, 0.0))[0] == beat else (beat, now)
            for runner, beat in beats.items()
        }
        return {runner: beat for runner, (beat, since) in self._seen.items() if now - since >= self._lease}
