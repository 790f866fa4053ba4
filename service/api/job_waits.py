"""Requests that wait for a job: at most half of a worker's threads, so that others are served meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from flask import Flask, current_app

from service.api import calls, problems
from service.api.job_store import store
from service.api.problems import WaitersFull
from service.jobs.model import Job, StoreUnavailable
from service.jobs.store import Store
from service.jobs.watcher import Watcher
from service.settings import Settings

#: Most seconds that a request for a job's document may wait.
MAX_WAIT = 60


class Places:
    """Places for those who wait."""

    def __init__(self, count: int) -> None:
        """``count`` may wait at once."""
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> None:
        """Take one; raises ``WaitersFull``."""
        if not self.try_take():
            raise WaitersFull(self._count)

    def try_take(self) -> bool:
        """Take one if there is one."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        """Give one back."""
        self._free.release()


def install(app: Flask, settings: Settings, jobs: Store) -> None:
    """Make the places, and the watcher that wakes those who have one."""
    app.extensions["everycore.waiters"] = Places(max(1, settings.web_threads // 2))
    app.extensions["everycore.watcher"] = Watcher(jobs.changes)


def places() -> Places:
    """Return the worker's places."""
    found: Places = current_app.extensions["everycore.waiters"]
    return found


def watcher() -> Watcher:
    """Return the worker's watcher."""
    found: Watcher = current_app.extensions["everycore.watcher"]
    return found


def most_seconds(settings: Settings) -> float:
    """Return how long a request for a job's document may wait, at most."""
    return min(MAX_WAIT, settings.request_timeout_max)


def for_end(job: Job, seconds: float) -> Job:
    """Return a job as it stands when it has ended, or after some seconds; raises ``WaitersFull``."""
    if job.state.is_final or seconds <= 0:
        return job
    places().take()
    with _place_given_back():
        return _wait(job, seconds)


def for_end_if_possible(job: Job, seconds: float) -> Job:
    """Do the same, but wait only if there is a place for that, and as long as the store can be used.

    Something has been done for the client already, and it must hear of that.
    """
    if job.state.is_final or seconds <= 0 or not places().try_take():
        return job
    with _place_given_back():
        try:
            return _wait(job, seconds)
        except StoreUnavailable as error:
            problems.note(error)
            return job


@contextmanager
def _place_given_back() -> Generator[None, None, None]:
    try:
        yield
    finally:
        places().release()


def _wait(job: Job, seconds: float) -> Job:
    until = time.monotonic() + seconds
    with watcher().waiter(calls.hangup_fd()) as waiter:
        for _ in waiter.looks(until):
            job = store().get(job.id)
            if job.state.is_final:
                break
    return job
