"""Jobs over HTTP: what is submitted, how it stands, and what can be done about it.

POST body ─> job_bodies ─> job_submissions ─> store ─> 202, and a document (job_documents)
GET ?wait=N ─> job_waits ─> the watcher wakes it when something changes
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request

from service.api import calls, job_bodies, job_documents, job_queries, job_waits, keys, requests, results
from service.api.admission import admitted
from service.api.job_headers import idempotency_key
from service.api.job_queries import ListQuery, ShowQuery
from service.api.job_store import job_id, store
from service.api.job_submissions import Intake
from service.api.problems import InvalidRequest
from service.jobs.model import Job, State, WrongState
from service.telemetry import tracing

bp = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

#: Seconds that a request to cancel a job waits for its end to be confirmed.
CANCEL_SECONDS = 5.0


def intake(key: str | None = None) -> Intake:
    """Return what makes jobs of this request's submissions."""
    return Intake(
        contracts=calls.contracts(),
        settings=requests.settings(),
        webhooks=current_app.extensions["everycore.webhooks"],
        owner=keys.owner(),
        request_id=requests.trace().id,
        idempotency_key=key,
        trace=tracing.current.get(),
    )


@bp.post("")
@admitted
def submit() -> Response:
    """Take a job."""
    job_queries.refuse_any(request)
    key = idempotency_key(request)
    text, submission = job_bodies.read_object("the submission")
    if isinstance(name := submission.value.get("task"), str):
        calls.contract(name)  # or it is not found, as everywhere
    job, is_new = store().submit(intake(key).job(*job_bodies.split(text, submission)))
    return job_documents.accepted(job, status=202 if is_new else 200)


@bp.get("")
@admitted
def index() -> Response:
    """List jobs, newest first."""
    query = job_queries.read(request, ListQuery)
    jobs, cursor = store().list(
        states=query.state,
        task=query.task,
        batch=query.batch,
        since=query.since,
        until=query.until,
        before=query.cursor,
        limit=query.limit,
    )
    return results.json_response({"jobs": [job_documents.of_job(job) for job in jobs], "next": cursor})


@bp.get("/<job>")
@admitted
def show(job: str) -> Response:
    """Show a job, at once or when it has ended."""
    query = job_queries.read(request, ShowQuery)
    most = job_waits.most_seconds(requests.settings())
    if query.wait > most:
        raise InvalidRequest("the query", [{"loc": ["wait"], "msg": f"it must be at most {most:g} seconds"}])
    return _shown(job_waits.for_end(store().get(job_id(job)), query.wait))


@bp.post("/<job>/cancel")
@admitted
def cancel(job: str) -> Response:
    """Cancel a job; one that runs is killed."""
    job_queries.refuse_any(request)
    found = job_waits.for_end_if_possible(store().cancel(job_id(job)), CANCEL_SECONDS)
    if not found.state.is_final:
        return job_documents.accepted(found)
    if found.state is not State.CANCELLED:
        # It was faster.
        raise WrongState(found.id, found.state, "be cancelled any more")
    return _shown(found)


@bp.post("/<job>/retry")
@admitted
def retry(job: str) -> Response:
    """Have a job tried again that did not succeed."""
    job_queries.refuse_any(request)
    return job_documents.accepted(store().retry(job_id(job)))


@bp.delete("/<job>")
@admitted
def delete(job: str) -> Response:
    """Remove a job that has ended, with its log and its result."""
    job_queries.refuse_any(request)
    store().delete(job_id(job))
    return results.nothing()


def _shown(job: Job) -> Response:
    result = store().result(job.id) if job.state is State.SUCCEEDED else None
    document = job_documents.with_result(job_documents.of_job(job), result)
    return Response(document, content_type=results.JSON)
