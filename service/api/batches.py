"""Batches of jobs over HTTP: all of them are taken, or none."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from service.api import job_bodies, job_documents, job_queries, job_spans, jobs, keys, results
from service.api.admission import admitted
from service.api.job_spans import Span
from service.api.job_store import batch_id, store
from service.api.job_submissions import Intake, Mistakes
from service.api.problems import InvalidHeader, InvalidRequest
from service.jobs.model import Batch, NewJob
from service.tasks.contract import MAX_ERRORS

bp = Blueprint("batches", __name__)

#: Most jobs of a batch.
MAX_JOBS = 10_000


@bp.post("/v1/jobs/batch")
@admitted
def submit() -> Response:
    """Take many jobs."""
    job_queries.refuse_any(request)
    if "Idempotency-Key" in request.headers:
        raise InvalidHeader("a batch takes no Idempotency-Key; only single jobs do")
    text, body = job_bodies.read_object("the batch")
    batch, ids = store().submit_batch(_read(text, body), keys.owner())
    href = job_documents.href_of_batch(batch.id)
    response = results.json_response({"id": batch.id, "href": href, "total": batch.total, "jobs": ids}, 202)
    response.headers["Location"] = href
    return response


@bp.get("/v1/batches/<batch>")
@admitted
def show(batch: str) -> Response:
    """Show how far a batch has come."""
    job_queries.refuse_any(request)
    return results.json_response(job_documents.of_batch(store().batch(batch_id(batch))))


@bp.post("/v1/batches/<batch>/cancel")
@admitted
def cancel(batch: str) -> Response:
    """Cancel every job of a batch that has not ended."""
    job_queries.refuse_any(request)
    found: Batch = store().cancel_batch(batch_id(batch))
    document = job_documents.of_batch(found)
    return results.json_response(document, 200 if document["finished"] else 202)


def _read(text: str, body: Span) -> list[NewJob]:
    """Return the jobs of a batch; raises ``InvalidRequest`` with the mistakes of all of them."""
    mistakes = [{"loc": [name], "msg": "there is no such member"} for name in body.value.keys() - {"jobs"}]
    listed = body.value.get("jobs")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_JOBS:
        mistakes.append({"loc": ["jobs"], "msg": f"it must be a list of 1 to {MAX_JOBS} submissions"})
        raise InvalidRequest("the batch", mistakes)
    (start,) = (span.start for name, span in job_spans.members(text, body.start) if name == "jobs")
    intake = jobs.intake()
    made: list[NewJob | None] = []
    for place, span in enumerate(job_spans.items(text, start)):
        made.append(_job(intake, text, span, ["jobs", place], mistakes))
        if len(mistakes) > MAX_ERRORS:
            break  # there are more than are told already
    if mistakes:
        raise InvalidRequest("the batch", mistakes)
    return [job for job in made if job is not None]


def _job(intake: Intake, text: str, span: Span, at: list[Any], mistakes: Mistakes) -> NewJob | None:
    """Return a job of a batch; what is wrong with it is added to ``mistakes``."""
    if not isinstance(span.value, dict):
        mistakes.append({"loc": at, "msg": "a submission is an object"})
        return None
    try:
        return intake.job(*job_bodies.split(text, span))
    except InvalidRequest as error:
        mistakes += [{**said, "loc": [*at, *said["loc"]]} for said in error.errors]
    return None
