"""RQ on a Redis that fsyncs, with its pool of workers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from redis import Redis
from rq import Queue as RqQueue

from loadtests import jobs_work
from loadtests.jobs_programs import redis, started
from loadtests.jobs_queue import PATIENCE, JobsFailed, Queue


class Rq(Queue):
    """Each worker forks a process for each job, as RQ does unless told otherwise."""

    worker = "rq.worker.Worker"

    def __init__(self, folder: Path, processes: int, socket: Path) -> None:
        """Use the Redis at that socket."""
        self._folder = folder
        self._processes = processes
        self._url = f"unix://{socket}"
        self._redis = Redis.from_url(self._url)
        self._queue = RqQueue("jobs", connection=self._redis)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, processes: int) -> Iterator[Self]:
        """Return the context of a new queue."""
        with redis(folder) as socket:
            queue = cls(folder, processes, socket)
            with queue._redis:
                yield queue

    def enqueue(self, task: str) -> Any:
        """See ``Queue``."""
        return self._queue.enqueue(f"{jobs_work.__name__}.{task}")

    @contextlib.contextmanager
    def workers(self) -> Iterator[None]:
        """See ``Queue``."""
        options = ("--quiet", "--url", self._url, "--num-workers", str(self._processes))
        command = (
            sys.executable,
            "-m",
            "rq.cli",
            "worker-pool",
            *options,
            "--worker-class",
            self.worker,
            "jobs",
        )
        with started(command, self._folder):
            yield

    def finished(self) -> int:
        """See ``Queue``."""
        return int(self._queue.finished_job_registry.get_job_count(cleanup=False))

    def check(self) -> None:
        """See ``Queue``."""
        if failed := self._queue.failed_job_registry.get_job_count(cleanup=False):
            raise JobsFailed(f"RQ: {failed} jobs have failed")

    def moments(self, job: Any) -> dict[str, float]:
        """See ``Queue``."""
        result = job.latest_result(timeout=int(PATIENCE))
        if result is None or result.type != result.Type.SUCCESSFUL:
            raise JobsFailed(f"RQ: a job has not succeeded within {PATIENCE:g} s")
        return {"start": result.return_value}


class RqWithoutForks(Rq):
    """Each worker runs its jobs in its own process, which a job can take down with it."""

    worker = "rq.worker.SimpleWorker"
