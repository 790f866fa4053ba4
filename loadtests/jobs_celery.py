"""Celery on a Redis that fsyncs; ``python -m loadtests.jobs_celery SOCKET PROCESSES`` is its worker."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from celery import Celery as CeleryApplication
from redis import Redis

from loadtests import jobs_work
from loadtests.jobs_programs import redis, started
from loadtests.jobs_queue import PATIENCE, JobsFailed, Queue

#: Redis's databases for messages and for results.
MESSAGES, RESULTS = 0, 1
#: What it takes for a job to outlive its worker.
DURABLE = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
}


def application(socket: str) -> CeleryApplication:
    """Return Celery with our tasks."""
    url = f"redis+socket://{socket}?virtual_host="
    app = CeleryApplication(
        "jobs", broker=f"{url}{MESSAGES}", backend=f"{url}{RESULTS}", set_as_current=False
    )
    app.conf.update(DURABLE)
    for function in (jobs_work.noop, jobs_work.stamp):
        app.task(name=function.__name__)(function)
    app.finalize()
    return app


class Celery(Queue):
    """Celery's worker has processes that it hands the messages to."""

    def __init__(self, folder: Path, processes: int, socket: Path) -> None:
        """Use the Redis at that socket."""
        self._folder = folder
        self._processes = processes
        self._socket = str(socket)
        self._app = application(self._socket)
        self._results = Redis(unix_socket_path=self._socket, db=RESULTS)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, processes: int) -> Iterator[Self]:
        """Return the context of a new queue."""
        with redis(folder) as socket:
            queue = cls(folder, processes, socket)
            with queue._app, queue._results:
                yield queue

    def enqueue(self, task: str) -> Any:
        """See ``Queue``."""
        return self._app.tasks[task].delay()

    @contextlib.contextmanager
    def workers(self) -> Iterator[None]:
        """See ``Queue``."""
        command = (sys.executable, "-m", "loadtests.jobs_celery", self._socket, str(self._processes))
        with started(command, self._folder):
            yield

    def finished(self) -> int:
        """See ``Queue``."""
        return int(self._results.dbsize())

    def check(self) -> None:
        """See ``Queue``."""
        results = map(json.loads, self._results.mget(self._results.keys()))
        if wrong := [result for result in results if result["status"] != "SUCCESS"]:
            raise JobsFailed(f"Celery: {wrong[0]}")

    def moments(self, job: Any) -> dict[str, float]:
        """See ``Queue``."""
        return {"start": job.get(timeout=PATIENCE)}


if __name__ == "__main__":
    options = ("--loglevel", "WARNING", "--concurrency", sys.argv[2])
    application(sys.argv[1]).worker_main(["worker", *options])
