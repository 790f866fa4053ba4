"""The store of jobs as clients see it: submit, look, cancel, have tried again, delete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from service.jobs import migrate
from service.jobs.database import CHANGES, WORK, Database, Listener, Row, Transaction, open_database
from service.jobs.finishing import note_ends
from service.jobs.listing import newest
from service.jobs.model import (
    Batch,
    BatchNotFound,
    Delivery,
    Job,
    JobNotFound,
    KeyReused,
    LogLine,
    NewJob,
    Payload,
    State,
    WrongState,
    id_at,
    new_id,
)
from service.jobs.submission import add, add_once
from service.telemetry.metrics import jobs as metrics
from service.telemetry.metrics.jobs import Standing

#: Lines of logs that are removed in one transaction.
PIECE = 2000
#: Behind every id.
_LAST = "g"


class Store:
    """Every method raises ``StoreUnavailable`` when the database can't be used; nothing has changed then."""

    def __init__(self, database: Database) -> None:
        """Open nothing yet."""
        self._database = database

    # Submitting

    def submit(self, job: NewJob) -> tuple[Job, bool]:
        """Add a job; return it, and whether it is new. It is on the disk then.

        Raises ``KeyReused`` when its idempotency key came with another fingerprint before.
        """
        with self._database.transaction() as tx:
            now = time.time()
            # Whoever has the key may be deleted before it is looked at; then it is free.
            while (identity := add_once(tx, job, now)) is None:
                if known := tx.all("job_of_key", owner=job.owner, idempotency_key=job.idempotency_key):
                    if known[0]["fingerprint"] != job.fingerprint:
                        raise KeyReused(known[0]["id"])
                    return Job.of(known[0]), False
            tx.ring(WORK)
            accepted = _one(tx, identity)
        metrics.accepted([job.task])
        return accepted, True

    def submit_batch(self, jobs: Sequence[NewJob], owner: str) -> tuple[Batch, list[str]]:
        """Add all jobs or none; return the batch and the ids of its jobs, in their order."""
        (batch,) = new_id()
        with self._database.transaction() as tx:
            now = time.time()
            tx.all("add_batch", id=batch, owner=owner, total=len(jobs), now=now)
            ids = add(tx, jobs, now, batch=batch)
            tx.ring(WORK)
        metrics.accepted(job.task for job in jobs)
        return Batch(batch, owner, len(jobs), now, {State.QUEUED: len(jobs)}), ids

    # Looking

    def get(self, job: str) -> Job:
        """Return a job, or raise ``JobNotFound``."""
        with self._database.reading() as tx:
            return _one(tx, job)

    def result(self, job: str) -> Payload | None:
        """Return what a job that succeeded returned."""
        return self._payload(job, "result")

    def args(self, job: str) -> Payload | None:
        """Return the arguments that a job was submitted with."""
        return self._payload(job, "args")

    def _payload(self, job: str, kind: str) -> Payload | None:
        with self._database.reading() as tx:
            rows = tx.all("payload", job=job, kind=kind)
        return Payload(rows[0]["media_type"], bytes(rows[0]["content"])) if rows else None

    def log(self, job: str, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """Return lines of a job's log behind number ``after``."""
        with self._database.reading() as tx:
            return [LogLine(**row) for row in tx.all("log", job=job, after=after, limit=limit)]

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        with self._database.reading() as tx:
            return _counts(tx.all("counts"))

    def standing(self, lease: float) -> Standing:
        """Return how it stands but for jobs that wait, at once; a runner lives that beat within ``lease``."""
        now = time.time()
        with self._database.reading() as tx:
            (row,) = tx.all("standing", alive=now - lease)
        due = [at for at in (row["ready_since"], row["next_due"]) if at is not None and at <= now]
        return Standing(row["runners"], row["running"], now - min(due, default=now))

    def waiting(self) -> tuple[int, int]:
        """Count the jobs that are due, and those that will be; a million take some tenths of a second."""
        with self._database.reading() as tx:
            (row,) = tx.all("waiting", now=time.time())
        return row["queued"], row["scheduled"]

    def deliveries(self, job: str) -> list[Delivery]:
        """Return the messages to a job's webhook."""
        with self._database.reading() as tx:
            _one(tx, job)
            rows = tx.all("deliveries", job=job)
        return [Delivery(**{name: row[name] for name in Delivery.__slots__}) for row in rows]

    def changes(self) -> Listener:
        """Hear of jobs that change."""
        return self._database.listen(CHANGES)

    # Changing

    def cancel(self, job: str) -> Job:
        """Cancel a job that waits; ask the runner of one that runs to kill it.

        Raises ``JobNotFound``, and ``WrongState`` for one that has ended.
        """
        with self._database.transaction() as tx:
            state = _to_change(tx, job).state
            if state.is_final:
                raise WrongState(job, state, "be cancelled any more")
            if state is State.QUEUED:
                (row,) = tx.all("cancel_queued", id=job, now=time.time())
                note_ends(tx, [row])
            else:
                (row,) = tx.all("cancel_running", id=job)
            tx.ring(WORK)
            tx.ring(CHANGES)
        if state is State.QUEUED:
            metrics.finished([(row["task"], State.CANCELLED.value)])
        return Job.of(row)

    def retry(self, job: str) -> Job:
        """Have a job tried again that did not succeed, with as many attempts as it had at first.

        Raises ``JobNotFound``, and ``WrongState`` for one that runs, waits or has succeeded.
        """
        with self._database.transaction() as tx:
            state = _to_change(tx, job).state
            if state is State.SUCCEEDED or not state.is_final:
                raise WrongState(job, state, "be tried again")
            (row,) = tx.all("retry", id=job, now=time.time())
            tx.ring(WORK)
            tx.ring(CHANGES)
            return Job.of(row)

    def delete(self, job: str) -> None:
        """Remove a job that has ended, with its log and its result.

        Raises ``JobNotFound``, and ``WrongState`` for one that has not ended.
        """
        with self._database.transaction() as tx:
            state = _to_change(tx, job).state
            if not state.is_final:
                raise WrongState(job, state, "be deleted yet; cancel it first")
            tx.all("delete_job", id=job)
            tx.ring(CHANGES)

    def count_ended(self, before: float, states: Sequence[State] = ()) -> int:
        """Return how many jobs ended before a time, in any state or in one of these."""
        with self._database.reading() as tx:
            (row,) = tx.all("count_ended", before=before, **_in(states))
        return int(row["number"])

    def purge(self, before: float, limit: int = 50, states: Sequence[State] = ()) -> int:
        """Remove up to ``limit`` of the jobs that ``count_ended`` counts; return how many it were.

        Each transaction is a short one: others want to write, too.
        """
        with self._database.reading() as tx:
            jobs = tuple(row["id"] for row in tx.all("old_jobs", before=before, limit=limit, **_in(states)))
        if jobs:
            self._purge_pieces("purge_log", jobs, PIECE)
            self._purge_pieces("purge_results", jobs, 1)
        with self._database.transaction() as tx:
            removed = len(tx.all("purge", jobs=jobs, before=before)) if jobs else 0
            if len(jobs) < limit:
                tx.all("purge_batches", before=id_at(before), limit=limit)
        return removed

    def _purge_pieces(self, query: str, jobs: tuple[str, ...], limit: int) -> None:
        while True:
            with self._database.transaction() as tx:
                if len(tx.all(query, jobs=jobs, limit=limit)) < limit:
                    return

    # Batches

    def batch(self, batch: str) -> Batch:
        """Return a batch, or raise ``BatchNotFound``."""
        with self._database.reading() as tx:
            return _batch(tx, batch)

    def cancel_batch(self, batch: str) -> Batch:
        """Cancel every job of a batch that has not ended; raises ``BatchNotFound``."""
        with self._database.transaction() as tx:
            _batch(tx, batch)
            tx.all("batch_to_change", batch=batch)
            cancelled = tx.all("cancel_queued_of_batch", batch=batch, now=time.time())
            note_ends(tx, cancelled)
            tx.all("cancel_running_of_batch", batch=batch)
            tx.ring(WORK)
            tx.ring(CHANGES)
            found = _batch(tx, batch)
        metrics.finished((row["task"], State.CANCELLED.value) for row in cancelled)
        return found

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def list(
        self,
        *,
        states: Sequence[State] = (),
        task: str | None = None,
        batch: str | None = None,
        since: float | None = None,
        until: float | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Sequence[Job], str | None]:
        """Return the newest jobs that fit, newest first, and the cursor (``before``) of those behind.

        ``since`` and ``until`` are times of submission, in seconds since the epoch, to the millisecond.
        """
        last = _LAST if until is None else id_at(until)
        with self._database.reading() as tx:
            rows = newest(
                tx,
                states=states,
                task=task,
                batch=batch,
                since=None if since is None else id_at(since),
                before=last if before is None else min(before, last),
                limit=limit + 1,
            )
        jobs = [Job.of(row) for row in rows[:limit]]
        return jobs, jobs[-1].id if len(rows) > limit else None


def open_store(url: str) -> Store:
    """Return the store of a database, which is brought up to date when it is first used."""
    return Store(migrate.Migrated(open_database(url)))


def _in(states: Sequence[State]) -> dict[str, Any]:
    # The index of states is made unfit: all that it leads to would be sorted for each step.
    return {"filters": "AND state || '' IN (:states*)", "states": tuple(states)} if states else {}


def _one(tx: Transaction, job: str) -> Job:
    rows = tx.all("job", id=job)
    if not rows:
        raise JobNotFound(job)
    return Job.of(rows[0])


def _to_change(tx: Transaction, job: str) -> Job:
    """Return a job in the state that it will be in until the transaction ends or changes it."""
    rows = tx.all("job_to_change", id=job)
    if not rows:
        raise JobNotFound(job)
    return Job.of(rows[0])


def _batch(tx: Transaction, batch: str) -> Batch:
    rows = tx.all("batch", id=batch)
    if not rows:
        raise BatchNotFound(batch)
    return Batch(**rows[0], counts=_counts(tx.all("batch_counts", batch=batch)))


def _counts(rows: Sequence[Row]) -> dict[State, int]:
    return {State(row["state"]): row["number"] for row in rows}
