"""Jobs and batches as clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Response

from service.api.results import dumps, json_response
from service.jobs.arguments import JSON
from service.jobs.model import Batch, Delivery, Job, LogLine, Payload, State
from service.jobs.times import rfc3339
from service.tasks.strict_json import with_encoded

#: Largest result in JSON, in bytes, that stands in the document of its job.
MAX_INLINE = 1024 * 1024


def href_of_job(job: str) -> str:
    """Return the path of a job."""
    # By hand: in a list of a thousand, url_for() would be most of the work.
    return f"/v1/jobs/{job}"


def href_of_batch(batch: str) -> str:
    """Return the path of a batch."""
    return f"/v1/batches/{batch}"


def of_job(job: Job) -> dict[str, Any]:
    """Return a job's document, without its result."""
    href = href_of_job(job.id)
    return {
        "id": job.id,
        "href": href,
        "task": job.task,
        "state": job.state.value,
        "owner": job.owner,
        "request_id": job.request_id,
        "priority": job.priority,
        "timeout": job.timeout,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "on_error": "skip" if job.skip else "stop",
        "failures": job.failures,
        "crashes": job.crashes,
        "cancel_requested": job.cancel_requested,
        "progress": job.progress,
        "error": job.error,
        "created_at": rfc3339(job.created_at),
        "run_at": rfc3339(job.run_at),
        "expires_at": rfc3339(job.expires_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "timing": _timing(job),
        "batch": job.batch,
        "parent": job.parent,
        "result_href": f"{href}/result" if job.state is State.SUCCEEDED else None,
        "log": f"{href}/log",
        "events": f"{href}/events",
        "deliveries": None if job.webhook is None else f"{href}/deliveries",
    }


def _timing(job: Job) -> dict[str, float | None] | None:
    if job.run_seconds is None:
        return None
    return {"run": job.run_seconds, "cpu": job.cpu_seconds}


def with_result(document: Mapping[str, Any], result: Payload | None) -> bytes:
    """Encode a document with its result, if that is JSON and not too large."""
    encoded = dumps(document)
    if result is None or result.media_type != JSON or len(result.content) > MAX_INLINE:
        return encoded
    return with_encoded(encoded, "result", result.content)


def accepted(job: Job, *, status: int = 202) -> Response:
    """Answer that a job will be done, and where to look for it."""
    response = json_response(of_job(job), status)
    response.headers["Location"] = href_of_job(job.id)
    return response


def of_batch(batch: Batch) -> dict[str, Any]:
    """Return a batch's document."""
    counts = {state.value: batch.counts.get(state, 0) for state in State}
    left = counts[State.QUEUED] + counts[State.RUNNING]
    return {
        "id": batch.id,
        "href": href_of_batch(batch.id),
        "owner": batch.owner,
        "total": batch.total,
        "counts": counts,
        # What has been deleted had ended.
        "done": batch.total - left,
        "finished": not left,
        "created_at": rfc3339(batch.created_at),
    }


def of_line(line: LogLine) -> dict[str, Any]:
    """Return the document of a line of a log."""
    return {
        "seq": line.seq,
        "attempt": line.attempt,
        "at": rfc3339(line.at),
        "stream": line.stream,
        "line": line.line,
    }


def of_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return the document of a message to a webhook; path and query of its URL may be secret."""
    url = urlsplit(delivery.url)
    return {
        "id": delivery.id,
        "origin": f"{url.scheme}://{url.netloc}",
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "created_at": rfc3339(delivery.created_at),
        "next_at": rfc3339(delivery.next_at) if delivery.state == "pending" else None,
        "finished_at": rfc3339(delivery.finished_at),
    }
