"""What every job of ``bench_jobs`` does, whoever runs it."""

from __future__ import annotations

import time


def noop() -> None:
    """Do nothing."""


def stamp() -> float:
    """Return when it runs, in seconds since the epoch."""
    return time.time()
