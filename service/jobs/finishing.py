"""What follows when a job has ended, in the same transaction: its webhook's message and its follow-up job."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from service.errors import TaskNotFound
from service.jobs.arguments import JSON
from service.jobs.database import WORK, Row, Transaction
from service.jobs.model import NewJob, Payload, State, new_id
from service.jobs.submission import add
from service.jobs.terms import terms_of
from service.tasks import registry
from service.tasks.strict_json import dumps, with_encoded


def note_ends(tx: Transaction, rows: Sequence[Row], results: dict[str, Payload] | None = None) -> None:
    """See to what follows for those of these jobs that have ended; ``results`` are by id of job."""
    results = results or {}
    now = time.time()
    ended = [row for row in rows if State(row["state"]).is_final]
    for row in ended:
        if row["webhook"] is not None:
            (delivery,) = new_id()
            event = f"job.{row['state']}"
            host = urlsplit(row["webhook"]).netloc
            url = row["webhook"]
            tx.all("add_delivery", id=delivery, job=row["id"], url=url, host=host, event=event, now=now)
            tx.ring(WORK)
    followers = [job for row in ended if (job := _follow_up(row, results.get(row["id"]))) is not None]
    if followers:
        parents = tuple(job.parent for job in followers)
        traces = {row["job"]: json.loads(row["trace"]) for row in tx.all("traces", jobs=parents)}
        add(tx, [replace(job, trace=traces.get(job.parent)) for job in followers], now)
        tx.ring(WORK)


def _follow_up(row: Row, result: Payload | None) -> NewJob | None:
    try:
        options = registry.get(row["task"]).job
        name = options.on_success if row["state"] == State.SUCCEEDED else options.on_failure
        if name is None or row["state"] == State.CANCELLED:
            return None
        task = registry.get(name)
    except TaskNotFound:
        return None  # a task of another version of the service
    job = {
        "id": row["id"],
        "task": row["task"],
        "state": row["state"],
        "attempts": row["attempts"],
        "error": None if row["error"] is None else json.loads(row["error"]),
    }
    # As it is: what is written here is read where it can do no harm, in the attempt of the follow-up.
    content = result.content if result is not None and result.media_type == JSON else b"null"
    args = Payload(JSON, b'{"job":%s}' % with_encoded(dumps(job), "result", content))
    return NewJob(
        task.name,
        args,
        **terms_of(task),
        priority=row["priority"],
        owner=row["owner"],
        request_id=row["request_id"],
        parent=row["id"],
    )
