"""What ``bench_jobs`` asks of each job queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

#: Seconds after which a job that has not ended is given up.
PATIENCE = 20.0


class JobsFailed(click.ClickException):
    """A queue did not do what it is there for."""


class Queue:
    """A queue with a store of its own, and workers that can be started."""

    def enqueue(self, task: str) -> Any:
        """Submit a job, and return it when it is on disk: ``noop`` or ``stamp`` of ``jobs_work``."""
        raise NotImplementedError

    def fill(self, jobs: int) -> None:
        """Submit that many no-ops, in the way that comes to hand first."""
        for _ in range(jobs):
            self.enqueue("noop")

    def workers(self) -> AbstractContextManager[None]:
        """Return a context in which workers run."""
        raise NotImplementedError

    def finished(self) -> int:
        """Return how many jobs have ended well and are noted as such."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ``JobsFailed`` when a job has ended otherwise than it should."""
        raise NotImplementedError

    def moments(self, job: Any) -> dict[str, float]:
        """Wait until a job has ended; return when it began to run, as ``start``, and what else is noted."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Contender:
    """A kind of queue, and how to get a new one."""

    name: str
    #: Where it keeps jobs.
    store: str
    #: Processes that run them.
    processes: int
    #: Returns the context of a new queue that has its files in a folder.
    open: Callable[[Path], AbstractContextManager[Queue]]
