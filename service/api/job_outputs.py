"""What came of a job: its result, its log, the messages to its webhook."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from service.api import job_documents, job_queries, results
from service.api.admission import admitted
from service.api.job_queries import LogQuery
from service.api.job_store import job_id, store
from service.api.problems import NoResult
from service.jobs.model import LogLine

bp = Blueprint("job_outputs", __name__, url_prefix="/v1/jobs/<job>")

TEXT = "text/plain"


@bp.get("/result")
@admitted
def result(job: str) -> Response:
    """Send what a job returned, as it is."""
    job_queries.refuse_any(request)
    found = store().get(job_id(job))
    payload = store().result(found.id)
    if payload is None:
        raise NoResult(found.id, found.state)
    return Response(payload.content, content_type=payload.media_type)


@bp.get("/log")
@admitted
def log(job: str) -> Response:
    """Send lines of a job's log."""
    query = job_queries.read(request, LogQuery)
    identity = store().get(job_id(job)).id
    lines = store().log(identity, after=query.after, limit=query.limit + 1)
    following = lines[query.limit - 1].seq if len(lines) > query.limit else None
    response = _log(lines[: query.limit], following)
    if following is not None:
        parameters = urlencode({"after": following, "limit": query.limit})
        response.headers["Link"] = f'<{job_documents.href_of_job(identity)}/log?{parameters}>; rel="next"'
    return response


def _log(lines: Sequence[LogLine], following: int | None) -> Response:
    if request.accept_mimetypes.best_match([results.JSON, TEXT]) == TEXT:
        text = "".join(f"{line.line}\n" for line in lines)
        return Response(text.encode(errors="replace"), content_type=f"{TEXT}; charset=utf-8")
    document = {"lines": [job_documents.of_line(line) for line in lines], "next": following}
    return results.json_response(document)


@bp.get("/deliveries")
@admitted
def deliveries(job: str) -> Response:
    """List the messages to a job's webhook."""
    job_queries.refuse_any(request)
    found = store().deliveries(job_id(job))
    return results.json_response({"deliveries": [job_documents.of_delivery(each) for each in found]})
