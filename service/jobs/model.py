"""A job, and what may be said of it."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.errors import EverycoreError

#: Priorities that a job may have; higher ones go first.
LEAST_PRIORITY, MOST_PRIORITY = -100, 100


class State(StrEnum):
    """Where a job stands. The moves between states are in the table ``moves`` (migrations/0001_jobs.sql)."""

    #: Waits for its time or for a slot.
    QUEUED = "queued"
    #: A runner has it.
    RUNNING = "running"
    #: Its result is there.
    SUCCEEDED = "succeeded"
    #: It had as many attempts as it may have, or failed in a way that is not tried again.
    FAILED = "failed"
    #: Somebody stopped it.
    CANCELLED = "cancelled"
    #: Its ttl passed before it was started.
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether a job stays so unless somebody has it tried again."""
        return self not in (State.QUEUED, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Payload:
    """Arguments as they came, or a result; ``content`` is of that media type."""

    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be."""

    task: str
    #: JSON, or ``fields`` (see ``arguments``).
    args: Payload
    cpu: int
    #: Seconds that an attempt may take; ``None`` for as long as the runner lets any.
    timeout: float | None
    #: Attempts that may end in an error, and attempts whose process or runner may die.
    max_attempts: int = 1
    max_crashes: int = 3
    priority: int = 0
    #: When to run it at the earliest; ``None`` for now. Times are seconds since the epoch.
    run_at: float | None = None
    #: When it is not worth starting any more.
    expires_at: float | None = None
    #: Name of the API key that it came with.
    owner: str = ""
    request_id: str = ""
    #: Submissions of one owner with the same key make one job, if their fingerprints are the same too.
    idempotency_key: str | None = None
    fingerprint: str | None = None
    webhook: str | None = None
    parent: str | None = None
    batch: str | None = None
    #: Whether it goes on without items that a stage has no result for, if it is of a pipeline.
    skip: bool = False
    #: The trace context that it was submitted in.
    trace: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands in the table."""

    id: str
    task: str
    state: State
    #: How many states it has been in.
    version: int
    owner: str
    request_id: str
    batch: str | None
    parent: str | None
    priority: int
    cpu: int
    timeout: float | None
    run_at: float
    expires_at: float | None
    max_attempts: int
    max_crashes: int
    #: How often it was started; also the number of the latest attempt, and what its result is fenced by.
    attempts: int
    failures: int
    crashes: int
    cancel_requested: bool
    created_at: float
    started_at: float | None
    finished_at: float | None
    #: Seconds that the last attempt ran, and CPU seconds that it took.
    run_seconds: float | None
    cpu_seconds: float | None
    webhook: str | None
    skip: bool
    #: ``{"done", "total", "note"}`` as the task said last; of a pipeline with ``stages``, too.
    progress: dict[str, Any] | None = field(default=None)
    #: The problem document of the last attempt that went wrong.
    error: dict[str, Any] | None = field(default=None)
    #: The trace context that it was submitted in, which is beside its row: who claims it is told.
    trace: dict[str, str] | None = field(default=None)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Job:
        """Make it of a row with the columns of ``COLUMNS``."""
        values = {name: row[name] for name in cls.__slots__ if name != "trace"}
        values["state"] = State(values["state"])
        for name in ("cancel_requested", "skip"):
            values[name] = bool(values[name])
        for name in ("progress", "error"):
            values[name] = None if values[name] is None else json.loads(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log."""

    seq: int
    attempt: int
    at: float
    #: ``stdout``, ``stderr``, ``log`` (what the task said by ``log()``) or ``system`` (what we say).
    stream: str
    line: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that were submitted together."""

    id: str
    owner: str
    total: int
    created_at: float
    #: How many of them are in each state; what was deleted is in none.
    counts: dict[State, int]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a job's webhook."""

    id: str
    job: str
    url: str
    event: str
    #: ``pending``, ``delivered`` or ``failed``.
    state: str
    attempts: int
    next_at: float
    status: int | None
    error: str | None
    created_at: float
    finished_at: float | None


class JobNotFound(EverycoreError):
    """No job has that id, or it has been removed since."""

    def __init__(self, job: str) -> None:
        """Keep the id that was asked for."""
        super().__init__(f"there is no job {job!r}")
        self.job = job


class BatchNotFound(EverycoreError):
    """No batch has that id."""

    def __init__(self, batch: str) -> None:
        """Keep the id that was asked for."""
        super().__init__(f"there is no batch {batch!r}")
        self.batch = batch


class WrongState(EverycoreError):
    """What was asked for can't be done with a job in its state."""

    def __init__(self, job: str, state: State, what: str) -> None:
        """``what`` says what was to be done, as in "be cancelled"."""
        super().__init__(f"job {job} is {state} and can't {what}")
        self.job = job
        self.state = state


class KeyReused(EverycoreError):
    """The idempotency key was used for another request."""

    def __init__(self, job: str) -> None:
        """``job`` is the one that it was used for."""
        super().__init__(f"this Idempotency-Key was used for another request, which made job {job}")
        self.job = job


class StoreUnavailable(EverycoreError):
    """The database can't be reached, or can't write; nothing of the transaction is in it."""

    def __init__(self, reason: str) -> None:
        """``reason`` is the database's own, for the log: it may name paths and hosts."""
        super().__init__("the store of jobs can't be used now")
        self.reason = reason


_lock = threading.Lock()
_latest = 0


def new_id(count: int = 1) -> list[str]:
    """Return ids (UUIDv7, RFC 9562) that sort in the order in which one process makes them."""
    global _latest  # noqa: PLW0603 - the counter of the process
    with _lock:
        first = max(time.time_ns() // 1_000_000 << 26, _latest + 1)
        _latest = first + count - 1
    noise = os.urandom(6 * count)
    return [_id(first + i, noise[6 * i : 6 * i + 6]) for i in range(count)]


def _id(place: int, noise: bytes) -> str:
    high, low = place >> 14, place & 0x3FFF
    milliseconds, counter = high >> 12, high & 0xFFF
    number = milliseconds << 80 | 7 << 76 | counter << 64 | 2 << 62 | low << 48 | int.from_bytes(noise, "big")
    return str(uuid.UUID(int=number))


def id_at(when: float) -> str:
    """Return the least id of a job that was submitted at that time."""
    milliseconds = max(0, min(int(when * 1000), (1 << 48) - 1))
    return _id(milliseconds << 26, bytes(6))
