"""Huey on SQLite, told to fsync; ``python -m loadtests.jobs_huey FILE PROCESSES`` is its consumer."""

from __future__ import annotations

import contextlib
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from huey import SqliteHuey
from huey.utils import Error

from loadtests import jobs_work
from loadtests.jobs_programs import started
from loadtests.jobs_queue import PATIENCE, JobsFailed, Queue

#: Seconds between two looks for a result: Huey's own way, for SQLite, looks every 50 ms.
LOOK = 0.001


def application(file: str) -> tuple[SqliteHuey, dict[str, Any]]:
    """Return Huey, all results kept, and our tasks in its form."""
    huey = SqliteHuey("jobs", filename=file, fsync=True, store_none=True)
    functions = (jobs_work.noop, jobs_work.stamp)
    return huey, {function.__name__: huey.task()(function) for function in functions}


class Huey(Queue):
    """Huey's consumer has processes, each of which looks for jobs from time to time."""

    def __init__(self, folder: Path, processes: int) -> None:
        """Make the file in that folder."""
        self._folder = folder
        self._processes = processes
        self._file = str(folder / "huey.db")
        self._huey, self._tasks = application(self._file)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, processes: int) -> Iterator[Self]:
        """Return the context of a new queue."""
        yield cls(folder, processes)

    def enqueue(self, task: str) -> Any:
        """See ``Queue``."""
        return self._tasks[task]()

    @contextlib.contextmanager
    def workers(self) -> Iterator[None]:
        """See ``Queue``."""
        command = (sys.executable, "-m", "loadtests.jobs_huey", self._file, str(self._processes))
        with started(command, self._folder):
            yield

    def finished(self) -> int:
        """See ``Queue``."""
        return int(self._huey.storage.result_store_size())

    def check(self) -> None:
        """See ``Queue``."""
        results = self._huey.storage.result_items().values()
        if errors := [result for result in map(pickle.loads, results) if isinstance(result, Error)]:
            raise JobsFailed(f"Huey: {errors[0]}")

    def moments(self, job: Any) -> dict[str, float]:
        """See ``Queue``."""
        until = time.monotonic() + PATIENCE
        while (started := job.get(preserve=True)) is None:
            if time.monotonic() > until:
                raise JobsFailed(f"Huey: no result in {PATIENCE:g} s")
            time.sleep(LOOK)
        return {"start": started}


if __name__ == "__main__":
    huey, _ = application(sys.argv[1])
    huey.create_consumer(workers=int(sys.argv[2]), worker_type="process").run()
