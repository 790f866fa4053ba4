"""New jobs on their way into the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from service.jobs.database import Transaction
from service.jobs.model import NewJob, new_id


def add_once(tx: Transaction, job: NewJob, now: float) -> str | None:
    """Add a job and return its id; ``None`` when there is one with its idempotency key already."""
    if job.idempotency_key is None:
        return add(tx, [job], now)[0]
    (identity,) = new_id()
    if not tx.all("add_job_once", **_row(job, identity, now, job.batch)):
        return None
    tx.many("add_payload", [_args(job, identity)])
    _add_traces(tx, [(job, identity)])
    return identity


def add(tx: Transaction, jobs: Sequence[NewJob], now: float, batch: str | None = None) -> list[str]:
    """Add jobs and return their ids; none of them may have an idempotency key that is known already."""
    ids = new_id(len(jobs))
    pairs = list(zip(jobs, ids, strict=True))
    tx.many("add_job", [_row(job, identity, now, batch or job.batch) for job, identity in pairs])
    tx.many("add_payload", [_args(job, identity) for job, identity in pairs])
    _add_traces(tx, pairs)
    return ids


def _add_traces(tx: Transaction, pairs: Sequence[tuple[NewJob, str]]) -> None:
    rows = [{"job": identity, "trace": json.dumps(dict(job.trace))} for job, identity in pairs if job.trace]
    if rows:
        tx.many("add_trace", rows)


def _row(job: NewJob, identity: str, now: float, batch: str | None) -> Mapping[str, Any]:
    run_at = now if job.run_at is None else job.run_at
    return {
        "id": identity,
        "task": job.task,
        "owner": job.owner,
        "request_id": job.request_id,
        "batch": batch,
        "parent": job.parent,
        "priority": job.priority,
        "cpu": job.cpu,
        "timeout": job.timeout,
        "run_at": run_at,
        "ready": int(run_at <= now),
        "expires_at": job.expires_at,
        "max_attempts": job.max_attempts,
        "max_crashes": job.max_crashes,
        "now": now,
        "idempotency_key": job.idempotency_key,
        "fingerprint": job.fingerprint,
        "webhook": job.webhook,
        "skip": int(job.skip),
    }


def _args(job: NewJob, identity: str) -> Mapping[str, Any]:
    return {"job": identity, "kind": "args", "media_type": job.args.media_type, "content": job.args.content}
