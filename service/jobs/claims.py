"""The store of jobs as one runner sees it.

    register ── step ── step ── … ── leave
                 │
                 one transaction: beat, log lines, settlements of what has ended, claims of what is next

A runner holds its jobs for as long as its row in ``runners`` is there. Each step, and the keeper every few
seconds, adds to its beat, in the same transaction as whatever else it does: who has been expelled meanwhile
finds its row gone, and has changed nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from service.jobs.database import CHANGES, WORK, Database, Row, Transaction
from service.jobs.finishing import note_ends
from service.jobs.model import Job, Payload, State, new_id


class Expelled(Exception):
    """Others took this runner for dead, and have its jobs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this runner has, with its arguments."""

    job: Job
    args: Payload
    #: Number of the latest line of its log.
    log_end: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the log of an attempt."""

    job: str
    attempt: int
    seq: int
    at: float
    stream: str
    line: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended, or that its job is given back."""

    job: Job
    state: State
    #: When to run it again; ``None`` for at once, and a job that is given back keeps its time.
    run_at: float | None = None
    failed: int = 0
    crashed: int = 0
    result: Payload | None = None
    error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    run_seconds: float | None = None
    cpu_seconds: float | None = None

    @property
    def outcome(self) -> str:
        """In one word: ``succeeded``, ``cancelled``, ``given-back``, or the slug of the problem."""
        if self.error is not None:
            return str(self.error["type"]).rpartition("/")[2]
        return "given-back" if self.state is State.QUEUED else self.state.value


@dataclass(frozen=True, slots=True)
class Want:
    """What a runner would take."""

    #: How many jobs to look at.
    limit: int
    #: Tasks of the jobs whose turn it is, in order -> how many of these to claim.
    choose: Callable[[Sequence[str]], int]


@dataclass(slots=True)
class Step:
    """What a runner wants done in one transaction."""

    lines: Sequence[Line] = ()
    #: By id of job: the number of the attempt, and what it said last.
    progress: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    settlements: Sequence[Settlement] = ()
    #: What to claim, by the CPU slots that it takes.
    wants: dict[int, Want] = field(default_factory=dict)
    #: Ids of all jobs that the runner knows it has; others of its are given back. ``None`` for no such check.
    held: set[str] | None = None


@dataclass(slots=True)
class Done:
    """What came of a step."""

    claimed: list[Claim]
    #: Jobs of this runner that somebody wants killed.
    cancels: set[str]
    #: Settlements that were refused: the job was somebody else's.
    refused: list[Settlement]
    #: Those that were written, each with the state that the job has now.
    settled: list[tuple[Settlement, State]]
    #: By the CPU slots that they take: no further job waits that could be claimed.
    exhausted: set[int] = field(default_factory=set)


class Claims:
    """Every method raises ``StoreUnavailable`` when the database can't be used; nothing has changed then."""

    def __init__(self, database: Database, tasks: Sequence[str]) -> None:
        """Claim jobs of these tasks; no other runs here."""
        self._database = database
        self._tasks = tuple(tasks)
        #: Id of this runner.
        self.runner = ""
        #: When it has last renewed its lease, by the monotonic clock: not when it began to wait for the
        #: database, which may have been long before, and not after others could see it.
        self.renewed_at = time.monotonic()

    def register(self) -> None:
        """Begin as a new runner."""
        (runner,) = new_id()
        with self._database.transaction() as tx:
            tx.all("add_runner", id=runner, host=socket.gethostname(), pid=os.getpid(), now=time.time())
            at = time.monotonic()
        self.renewed_at, self.runner = at, runner

    def step(self, step: Step) -> Done:
        """Do all of it or, raising ``Expelled``, nothing."""
        now = time.time()
        with self._database.transaction() as tx:
            at = self._beat(tx)
            if step.held is not None:
                self._give_back_others(tx, step.held, now)
            write_lines(tx, step.lines, self.runner)
            refused, settled = self._write(tx, step, now)
            exhausted: set[int] = set()
            claimed = [
                job for cpu, want in step.wants.items() for job in self._claim(tx, cpu, want, now, exhausted)
            ]
            claims = _with_arguments(tx, claimed)
            cancels = {row["id"] for row in tx.all("cancels", runner=self.runner)}
            if step.lines or step.progress or step.settlements or claims:
                tx.ring(CHANGES)
        self.renewed_at = max(self.renewed_at, at)
        return Done(claims, cancels, refused, settled, exhausted)

    def beat(self) -> None:
        """Renew the lease on everything that this runner has."""
        with self._database.transaction() as tx:
            at = self._beat(tx)
        self.renewed_at = max(self.renewed_at, at)

    def leave(self) -> None:
        """Be a runner no more; what it still has is given back."""
        with self._database.transaction() as tx:
            now = time.time()
            if tx.all("beat", runner=self.runner, now=now):
                self._give_back_others(tx, set(), now)
                tx.all("remove_runner", runner=self.runner)
            tx.ring(WORK)

    def _beat(self, tx: Transaction) -> float:
        # It also locks the row: nobody can be expelled in the middle of a transaction of theirs.
        if not tx.all("beat", runner=self.runner, now=time.time()):
            raise Expelled
        return time.monotonic()

    def _give_back_others(self, tx: Transaction, held: set[str], now: float) -> None:
        for row in tx.all("jobs_of_runner", runner=self.runner):
            if row["id"] not in held:
                settle(tx, given_back(Job.of(row)), self.runner, now)

    def _claim(self, tx: Transaction, cpu: int, want: Want, now: float, exhausted: set[int]) -> list[Job]:
        first = tx.all("claimable", cpu=cpu, limit=want.limit, now=now, tasks=self._tasks)
        ids = tuple(row["id"] for row in first[: want.choose([row["task"] for row in first])])
        if len(ids) == len(first) < want.limit:
            exhausted.add(cpu)
        if not ids:
            return []
        rows = {row["id"]: row for row in tx.all("claim", ids=ids, now=now, runner=self.runner)}
        return [Job.of(rows[each]) for each in ids]

    def _write(
        self, tx: Transaction, step: Step, now: float
    ) -> tuple[list[Settlement], list[tuple[Settlement, State]]]:
        """Write progress and settlements; return those that were refused, and those that were not."""
        changes: list[tuple[str, Settlement | None]] = [(job, None) for job in step.progress]
        changes += [(settlement.job.id, settlement) for settlement in step.settlements]
        refused: list[Settlement] = []
        settled: list[tuple[Settlement, State]] = []
        # In one order everywhere, so that no two wait for each other's rows.
        for job, settlement in sorted(changes, key=itemgetter(0)):
            if settlement is None:
                attempt, progress = step.progress[job]
                self._set_progress(tx, job, attempt, progress)
            elif state := settle(tx, settlement, self.runner, now):
                settled.append((settlement, state))
            else:
                refused.append(settlement)
        return refused, settled

    def _set_progress(self, tx: Transaction, job: str, attempt: int, progress: dict[str, Any]) -> None:
        tx.all("set_progress", id=job, attempt=attempt, runner=self.runner, progress=_json(progress))


def write_lines(tx: Transaction, lines: Sequence[Line], runner: str) -> None:
    """Add to the logs of jobs that this runner has."""
    rows = [
        {
            "job": line.job,
            "attempt": line.attempt,
            "seq": line.seq,
            "at": line.at,
            "stream": line.stream,
            "line": line.line,
            "runner": runner,
        }
        for line in lines
    ]
    if rows:
        tx.many("add_log", rows)


def settle(tx: Transaction, settlement: Settlement, runner: str, now: float) -> State | None:
    """Write down how an attempt ended; return the job's state, or ``None`` if the runner had it no more."""
    job, state = settlement.job, settlement.state
    run_at = job.run_at if settlement.run_at is None else settlement.run_at
    rows = tx.all(
        "settle",
        id=job.id,
        attempt=job.attempts,
        runner=runner,
        state=state.value,
        now=now,
        finished_at=now if state.is_final else None,
        # What is given back was ready before, whatever this clock says.
        ready=int(settlement.run_at is None or run_at <= now),
        run_at=run_at,
        failed=settlement.failed,
        crashed=settlement.crashed,
        error=None if settlement.error is None else _json(settlement.error),
        progress=None if settlement.progress is None else _json(settlement.progress),
        run_seconds=settlement.run_seconds,
        cpu_seconds=settlement.cpu_seconds,
    )
    if not rows:
        return None
    results: dict[str, Payload] = {}
    if settlement.result is not None:
        results[job.id] = result = settlement.result
        tx.all("add_result", job=job.id, media_type=result.media_type, content=result.content)
    note_ends(tx, rows, results)
    if state is State.QUEUED:
        tx.ring(WORK)
    # One that was to be cancelled is, instead of being queued again.
    return State(rows[0]["state"])


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)


def given_back(job: Job) -> Settlement:
    """Give a job back that is not at fault: it has its turn again at once, and nothing is counted."""
    return Settlement(job, State.QUEUED)


def _with_arguments(tx: Transaction, jobs: Sequence[Job]) -> list[Claim]:
    if not jobs:
        return []
    ids = tuple(job.id for job in jobs)
    rows = {row["job"]: row for row in tx.all("args", jobs=ids)}
    again = tuple(job.id for job in jobs if job.attempts > 1)
    ends = {row["job"]: row["seq"] for row in tx.all("log_ends", jobs=again)} if again else {}
    return [_claim_of(job, rows[job.id], ends.get(job.id, 0)) for job in jobs]


def _claim_of(job: Job, row: Row, log_end: int) -> Claim:
    traced = job if row["trace"] is None else replace(job, trace=json.loads(row["trace"]))
    return Claim(traced, Payload(row["media_type"], bytes(row["content"])), log_end)
