"""A call that becomes a job, because its client would rather not wait, or not for long (``Prefer``).

What a client that waits gets in time is what it would get of a plain call.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request
from werkzeug.exceptions import InternalServerError

from service.api import job_documents, job_waits, jobs, requests, results
from service.api.job_headers import Preferences
from service.api.job_store import store
from service.api.results import dumps
from service.errors import Cancelled, DeadlineExceeded
from service.jobs.model import Job, JobNotFound, Payload, State
from service.tasks.contract import Contract
from service.tasks.strict_json import with_encoded


def run(
    contract: Contract, args: Payload, wishes: Preferences, key: str | None, *, skip: bool = False
) -> Response:
    """Make a job of a call whose arguments fit, and wait for it as long as the client wishes.

    With an idempotency key it may be one that there is. With ``skip`` a pipeline leaves out items that a
    stage has no result for.
    """
    job, _ = store().submit(jobs.intake(key).call(contract, args, skip=skip))
    if wishes.wait is not None:
        job = job_waits.for_end_if_possible(job, _seconds(wishes.wait))
    if wishes.wait is not None and job.state.is_final:
        response = _answer(contract, job)
        response.headers["Location"] = job_documents.href_of_job(job.id)
    else:
        # Also one that was there before: here, 200 is what has the result.
        response = job_documents.accepted(job)
    response.headers["Preference-Applied"] = wishes.applied
    return response


def _seconds(wait: int) -> float:
    """Return how long to wait from now on; the client began to wait when it sent the request."""
    return min(wait, requests.settings().request_timeout_max) - requests.trace().total


def _answer(contract: Contract, job: Job) -> Response:
    """Answer as a plain call would."""
    if job.state is State.SUCCEEDED:
        return _result(contract, job)
    if job.state is State.CANCELLED:
        raise Cancelled
    if job.state is State.EXPIRED:
        raise DeadlineExceeded((job.expires_at or 0) - job.created_at, started=False)
    return _problem(job.error or {})


def _result(contract: Contract, job: Job) -> Response:
    payload = store().result(job.id)
    if payload is None:
        raise JobNotFound(job.id)  # it has just been deleted
    if payload.media_type != results.JSON:
        return Response(payload.content, content_type=payload.media_type)
    head: dict[str, Any] = {"task": job.task, "timing": _timing(job)}
    if contract.task.pipeline is not None:
        head["skipped"] = _skipped(job)
    return Response(with_encoded(dumps(head), "result", payload.content), content_type=results.JSON)


def _skipped(job: Job) -> int:
    """Return how many items a pipeline has left out."""
    return sum(stage["skipped"] for stage in (job.progress or {}).get("stages", ()))


def _timing(job: Job) -> dict[str, Any]:
    began = job.created_at if job.started_at is None else job.started_at
    return {
        "queued": max(0.0, began - job.created_at),
        "run": job.run_seconds,
        "cpu": job.cpu_seconds,
        "total": requests.trace().total,
    }


def _problem(problem: dict[str, Any]) -> Response:
    if "status" not in problem:
        raise InternalServerError
    request.environ["everycore.problem"] = str(problem["type"]).rpartition("/")[2]
    body = dumps(problem | {"instance": request.path})
    return Response(body, int(problem["status"]), content_type="application/problem+json")
