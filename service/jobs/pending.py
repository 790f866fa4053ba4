"""What a runner has heard from its lanes and not yet written."""

from __future__ import annotations

import time
from typing import Any

from service.jobs.attempt import Attempt
from service.jobs.claims import Line, Settlement

#: Seconds for which log lines and progress wait for more to be written with.
GATHER_SECONDS = 0.05


class Pending:
    """Lines, progress and settlements, in the order in which they came."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[Line] = []
        self.settlements: list[Settlement] = []
        self._progress: dict[str, Attempt] = {}
        self._due = float("inf")

    def add(self, item: Line | Attempt | Settlement) -> None:
        """Take in a line, an attempt that has said how far it is, or how one ended."""
        if isinstance(item, Settlement):
            self.settlements.append(item)
            self._progress.pop(item.job.id, None)
            self._due = 0.0
            return
        if isinstance(item, Line):
            self.lines.append(item)
        else:
            self._progress[item.job.id] = item
        self._due = min(self._due, time.monotonic() + GATHER_SECONDS)

    @property
    def due(self) -> float:
        """When to write it, in monotonic seconds; infinite when there is nothing."""
        return self._due

    @property
    def progress(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Return numbers of attempts, and what they said last, by id of job."""
        return {
            job: (attempt.job.attempts, attempt.progress)
            for job, attempt in self._progress.items()
            if attempt.progress is not None
        }
