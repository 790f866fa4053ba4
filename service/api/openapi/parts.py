"""What endpoints share: schemas, headers, parameters, and a response for each status of a problem."""

from __future__ import annotations

from typing import Any

from service.api.openapi.schemas import Schema
from service.api.problems import TABLE
from service.engine.problems import Kind
from service.settings import Settings

Operation = dict[str, Any]

JSON = "application/json"


def parameters(settings: Settings) -> dict[str, Operation]:
    """Return the headers that requests may have."""
    seconds = {"type": "number", "exclusiveMinimum": 0, "maximum": settings.request_timeout_max}
    return {
        "Request-Timeout": {
            "name": "Request-Timeout",
            "in": "header",
            "schema": seconds,
            "description": f"Seconds until the deadline; {settings.request_timeout:g} when you do not say.",
        },
        "X-Request-ID": {
            "name": "X-Request-ID",
            "in": "header",
            "schema": {"type": "string"},
            "description": "An id of yours for the log. One that can't stand there is replaced.",
        },
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": "`respond-async`: make a job of it. `wait=N`: the same, and wait for up to N s."
            " Anything else is passed over.",
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "description": "A key of yours: the same submission with the same key makes no second job.",
        },
        "Last-Event-ID": {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string", "pattern": r"^([0-9]{1,15}\.[0-9]{1,15})?$"},
            "description": "The id of the last event that you have; the stream goes on behind it.",
        },
    }


def parameter(name: str) -> Operation:
    """Return a reference to one of ``parameters``."""
    return {"$ref": f"#/components/parameters/{name}"}


def answer(description: str, content: dict[str, Any], *headers: str) -> Operation:
    """Return a response with the headers that every response has, and ``headers``."""
    names = ("X-Request-ID", "Server-Timing", *headers)
    response: Operation = {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    return response | ({"content": content} if content else {})


def json_content(schema: Schema) -> dict[str, Any]:
    """Return the content of a JSON body."""
    return {JSON: {"schema": schema}}


def object_of(**members: Schema) -> Schema:
    """Return the schema of an object that has all of these members and no other."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """Return a reference to a shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def problem_responses() -> dict[str, Operation]:
    """Return a response for each status of the table, in the usual form and in that of the samples."""
    kinds: dict[int, list[Kind]] = {}
    for kind in TABLE.values():
        if kind not in kinds.setdefault(kind.status, []):
            kinds[kind.status].append(kind)
    usual = {f"problem-{status}": _problem(status, found) for status, found in kinds.items()}
    samples = {f"sample-error-{status}": _sample_error(status, found) for status, found in kinds.items()}
    return usual | samples


def _problem(status: int, kinds: list[Kind]) -> Operation:
    types = [f"/problems/{kind.slug}" for kind in kinds]
    narrow = {"properties": {"type": {"enum": types}, "status": {"const": status}}}
    example = {
        "type": types[0],
        "title": kinds[0].title,
        "status": status,
        "detail": "a sentence about this very request",
        "instance": "/v1/tasks/…",
    }
    content = {"schema": {"allOf": [ref("Problem"), narrow]}, "example": example}
    return answer(_titles(kinds), {"application/problem+json": content}, *_headers_of(status))


def _sample_error(status: int, kinds: list[Kind]) -> Operation:
    return answer(_titles(kinds), json_content(ref("SampleError")), *_headers_of(status))


def _titles(kinds: list[Kind]) -> str:
    return "; or ".join(f"{kind.title} (`{kind.slug}`)" for kind in kinds) + "."


def _headers_of(status: int) -> tuple[str, ...]:
    return {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())


def _text_header(description: str) -> Operation:
    return {"description": description, "schema": {"type": "string"}}


HEADERS: dict[str, Operation] = {
    "X-Request-ID": _text_header("The id under which the request is logged."),
    "Server-Timing": _text_header("Milliseconds: waited, ran, in all."),
    "Location": _text_header("Where the job, or the batch, is."),
    "Preference-Applied": _text_header("Which of the preferences were followed."),
    "Link": _text_header("Where there is more, as `next`."),
    "WWW-Authenticate": _text_header("How to send a key."),
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}

_SECONDS: Schema = {"type": "number", "minimum": 0}
_OBJECT: Schema = {"type": "object", "description": "JSON Schema."}

SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "type": "object",
        "description": "An error (RFC 9457). `type` stays the same from version to version.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "errors": {
                "type": "array",
                "description": "With `validation`: each mistake, and the way to it.",
                "items": object_of(
                    loc={"type": "array", "items": {"type": ["string", "integer"]}}, msg={"type": "string"}
                ),
            },
            "stage": {"type": "string", "description": "Of a pipeline: where it happened."},
            "item": {
                "type": ["integer", "null"],
                "description": "Of a pipeline: the producer's item that it goes back to, from 0.",
            },
        },
        "required": ["type", "title", "status", "detail", "instance"],
    },
    "SampleError": object_of(error={"type": "string"}),
    "Timing": object_of(
        queued=_SECONDS | {"description": "Seconds between being taken in and being started."},
        run=_SECONDS | {"description": "Seconds from start to end of the call."},
        cpu=_SECONDS | {"description": "CPU seconds that its process used for it."},
        total=_SECONDS | {"description": "Seconds since the request came in."},
        pid={"type": "integer", "description": "The process that ran it, unless it was a job."},
    )
    | {"required": ["queued", "run", "cpu", "total"]},
    "Entry": {
        "type": "object",
        "properties": {
            "index": {"type": "integer", "minimum": 0, "description": "Which item it answers."},
            "result": {"description": "What the task returned."},
            "error": {"description": "The problem, if there is no result.", "type": "object"},
        },
        "required": ["index"],
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
        "additionalProperties": False,
    },
    "Summary": object_of(
        total={"type": "integer"},
        succeeded={"type": "integer"},
        failed={"type": "integer"},
        wall=_SECONDS | {"description": "Seconds that all of it took."},
        cpu=_SECONDS | {"description": "CPU seconds of all calls."},
        speedup={"type": "number", "description": "Seconds that calls ran, all added up, by `wall`."},
        processes={"type": "integer", "description": "How many processes ran them."},
    ),
    "Task": object_of(
        name={"type": "string"},
        href={"type": "string", "format": "uri-reference"},
        description={"type": "string"},
        cpu={"enum": [0, 1], "description": "CPU slots that a call takes."},
        timeout={"type": ["number", "null"], "description": "Seconds that a call may run."},
        streams={"type": "boolean", "description": "Whether items can be had one by one."},
        accepts={"type": "array", "items": {"type": "string"}, "description": "Media types of the body."},
        arguments=_OBJECT,
        result=_OBJECT,
    ),
    "Readiness": object_of(
        status={"enum": ["ready", "unavailable"]},
        checks=object_of(
            tasks={"type": "integer"},
            pipelines={"type": "integer"},
            engine={"enum": ["running", "loading", "stopping"]},
            store={"enum": ["ready", "unavailable"], "description": "Of jobs; tasks run without it."},
        ),
    ),
}
