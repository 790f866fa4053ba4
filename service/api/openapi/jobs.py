"""The endpoints of jobs and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.api import job_queries, job_waits
from service.api.batches import MAX_JOBS
from service.api.openapi import job_schemas
from service.api.openapi.api import Api, Endpoint
from service.api.openapi.job_schemas import ID, JOB_SCHEMAS, STATES
from service.api.openapi.parts import JSON, Operation, answer, json_content, object_of, parameter, ref
from service.api.openapi.schemas import Schema

#: What every endpoint of these can end with, beside success.
PROBLEMS = (500, 503)

_TEXT: Schema = {"type": "string"}


def jobs(api: Api) -> Endpoint:
    """Describe ``/v1/jobs``."""
    api.schemas.update(JOB_SCHEMAS)
    api.schemas["Submission"] = job_schemas.submission(api.contracts, api.settings, api.schemas)
    example = job_schemas.submission_example(api.contracts)
    job = json_content(ref("Job"))
    yield (
        "/v1/jobs",
        "post",
        _operation(
            api,
            "submit_job",
            "Submit a job",
            parameters=[parameter("Idempotency-Key"), parameter("Request-Timeout")],
            requestBody={
                "required": True,
                "content": {JSON: {"schema": ref("Submission"), "example": example}},
            },
            responses={
                200: answer("The job that there is for this key.", job, "Location"),
                202: answer("It is on the disk.", job, "Location"),
            },
            problems=(400, 404, 408, 413, 415, 422),
        ),
    )
    listed = {200: answer("Jobs, newest first.", json_content(ref("Jobs")))}
    yield (
        "/v1/jobs",
        "get",
        _operation(api, "list_jobs", "List jobs", parameters=_list(), responses=listed, problems=(422,)),
    )


def batches(api: Api) -> Endpoint:
    """Describe batches."""
    example = {"jobs": 2 * [job_schemas.submission_example(api.contracts)]}
    members = {"type": "array", "items": ref("Submission"), "minItems": 1, "maxItems": MAX_JOBS}
    body = {JSON: {"schema": object_of(jobs=members), "example": example}}
    yield (
        "/v1/jobs/batch",
        "post",
        _operation(
            api,
            "submit_batch",
            "Submit many jobs, all or none",
            parameters=[parameter("Request-Timeout")],
            requestBody={"required": True, "content": body},
            responses={202: answer("They are on the disk.", json_content(ref("NewBatch")), "Location")},
            problems=(400, 408, 413, 415, 422),
        ),
    )
    where = [_in_path("batch")]
    batch = json_content(ref("Batch"))
    shown = {200: answer("The batch.", batch)}
    cancelled = {200: answer("All have ended.", batch), 202: answer("Some still run.", batch)}
    for path, method, name, summary, responses in (
        ("", "get", "show_batch", "Tell how far a batch has come", shown),
        ("/cancel", "post", "cancel_batch", "Cancel what has not ended", cancelled),
    ):
        operation = _operation(api, name, summary, parameters=where, responses=responses, problems=(404, 422))
        yield f"/v1/batches/{{batch}}{path}", method, operation


def job(api: Api) -> Endpoint:
    """Describe ``/v1/jobs/{job}``."""
    most = job_waits.most_seconds(api.settings)
    wait = _in_query(
        "wait", {"type": "number", "minimum": 0, "maximum": most}, "Seconds to wait for its end."
    )
    job = json_content(ref("Job"))
    accepted = answer("It will be.", job, "Location")
    shown, confirmed = {200: answer("The job.", job)}, {200: answer("It has been.", job), 202: accepted}
    for path, method, name, summary, parameters, responses, problems in (
        ("", "get", "show_job", "Show a job", [wait], shown, (404, 422, 499)),
        ("", "delete", "delete_job", "Remove a job", [], {204: answer("It is gone.", {})}, (404, 409, 422)),
        ("/cancel", "post", "cancel_job", "Cancel a job", [], confirmed, (404, 409, 422, 499)),
        ("/retry", "post", "retry_job", "Try a job again", [], {202: accepted}, (404, 409, 422)),
    ):
        where = [_in_path("job"), *parameters]
        operation = _operation(api, name, summary, parameters=where, responses=responses, problems=problems)
        yield f"/v1/jobs/{{job}}{path}", method, operation


def outputs(api: Api) -> Endpoint:
    """Describe what came of a job."""
    log = json_content(ref("Log")) | {"text/plain": {"schema": _TEXT}}
    result = json_content({}) | {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    event = object_of(event={"enum": ["state", "progress", "log", "error"]}, id=_TEXT, data=_TEXT)
    stream = {"text/event-stream": {"schema": event}}
    events = {
        200: answer("Events, each of this form; `data` is JSON.", stream),
        204: answer("All of it is known.", {}),
    }
    after = _in_query(
        "after", {"type": "integer", "minimum": 0, "maximum": job_queries.MAX_SEQ}, "A line's `seq`."
    )
    of_log = [after, _limit(job_queries.LINES)]
    sent = {200: answer("The messages.", json_content(ref("Deliveries")))}
    for name, summary, parameters, responses, problems in (
        ("result", "Send the result", [], {200: answer("The result.", result)}, (404, 422)),
        ("log", "Send the log", of_log, {200: answer("Its lines.", log, "Link")}, (404, 422)),
        ("events", "Stream what happens", [parameter("Last-Event-ID")], events, (400, 404, 422)),
        ("deliveries", "List the messages to the webhook", [], sent, (404, 422)),
    ):
        where = [_in_path("job"), *parameters]
        operation = _operation(
            api, f"job_{name}", summary, parameters=where, responses=responses, problems=problems
        )
        yield f"/v1/jobs/{{job}}/{name}", "get", operation


def _operation(api: Api, name: str, summary: str, **members: Any) -> Operation:
    members["problems"] = (*members["problems"], *PROBLEMS)
    return api.operation(name, summary, tag="jobs", **members)


def _list() -> list[Operation]:
    states = {"type": "array", "items": {"enum": STATES}, "minItems": 1}
    moment = {"type": "string", "format": "date-time"}
    return [
        _in_query("state", states, "Only jobs in one of these states.") | {"explode": False},
        _in_query("task", {"type": "string", "pattern": job_queries.NAME}, "Only jobs of this task."),
        _in_query("batch", ID, "Only jobs of this batch."),
        _in_query("since", moment, "Only jobs submitted at this time or later."),
        _in_query("until", moment, "Only jobs submitted before."),
        _limit(job_queries.JOBS),
        _in_query("cursor", ID, "`next` of the page before."),
    ]


def _limit(default: int) -> Operation:
    schema = {"type": "integer", "minimum": 1, "maximum": job_queries.MAX_LIMIT, "default": default}
    return _in_query("limit", schema, "How many at most.")


def _in_query(name: str, schema: Schema, description: str) -> Operation:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _in_path(name: str) -> Operation:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


ENDPOINTS: tuple[Callable[[Api], Endpoint], ...] = (jobs, batches, job, outputs)
