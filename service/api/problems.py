"""Every error as an RFC 9457 problem document: one table from class to status."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from werkzeug import exceptions as http

from service import errors
from service.api.results import dumps
from service.engine.problems import KINDS, Kind, detail_of, is_invalid_input, members_of
from service.jobs.model import BatchNotFound, JobNotFound, KeyReused, StoreUnavailable, WrongState
from service.tasks import InvalidInput
from service.tasks.contract import MAX_ERRORS, InvalidArguments, MalformedJson
from service.telemetry.logs import get_logger

#: Seconds after which to try the store of jobs again when it can't be used.
STORE_SECONDS = 2

_log = get_logger()


class RequestError(errors.EverycoreError):
    """The request can't be served as it was sent."""


class PipelineNotFound(RequestError):
    """No pipeline is registered under that name."""

    def __init__(self, name: str, hint: str = "") -> None:
        """Keep the name that was asked for; ``hint`` says what there is instead."""
        super().__init__(f"there is no pipeline {name!r}" + f"; {hint}" * bool(hint))
        self.name = name


class InvalidHeader(RequestError):
    """A header has a value that is not allowed."""


class MalformedBody(RequestError):
    """The body is cut off, or not what its media type says."""


class BodyTooLarge(RequestError):
    """The body is larger than ``SERVICE_MAX_BODY``."""

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes."""
        super().__init__(f"the body is larger than the {limit} bytes that are taken")
        self.limit = limit


class BodyTooSlow(RequestError):
    """The body has not come by the request's deadline."""

    def __init__(self) -> None:
        """Nothing more is known."""
        super().__init__("the body did not come before the request's deadline")


class TooLate(RequestError):
    """There was no time to look at all items of a map, let alone to run them."""

    def __init__(self, left: int) -> None:
        """``left`` is how many were not looked at."""
        super().__init__(f"the deadline has passed, and {left} items were not looked at")


class WrongMediaType(RequestError):
    """The body has a media type that the task does not take."""

    def __init__(self, given: str, accepted: Sequence[str]) -> None:
        """Name what was sent and what would do."""
        got = f"not {given}" if given else "and the request names none"
        super().__init__(f"the body must be {' or '.join(accepted)}, {got}")
        self.accepted = accepted


class CompressedBody(RequestError):
    """The body is compressed."""

    def __init__(self, coding: str) -> None:
        """Name the coding that was used."""
        super().__init__(f"the body must be sent as it is, not encoded as {coding}")


class Unauthorized(RequestError):
    """The request comes without a key that is known."""

    def __init__(self, reason: str, *, given: bool) -> None:
        """``given`` tells whether there was a key, or anything in its place."""
        super().__init__(reason)
        self.given = given


class LimitReached(RequestError):
    """The request's key may not do more now."""

    def __init__(self, reason: str, retry_after: float) -> None:
        """``retry_after`` is in seconds."""
        super().__init__(reason)
        self.retry_after = retry_after


class RateLimited(LimitReached):
    """The key has sent as many requests as it may in a minute."""

    def __init__(self, key: str, most: int, retry_after: float) -> None:
        """Say whose limit it is, and when one more passes."""
        super().__init__(f"key {key!r} may send {most} requests in 60 seconds, and has", retry_after)


class TooManyConcurrent(LimitReached):
    """The key has as many requests in progress as it may."""

    def __init__(self, key: str, most: int) -> None:
        """Say whose limit it is; when a request ends, nobody knows."""
        super().__init__(f"key {key!r} may have {most} requests in progress at once, and has", 1)


class WorkerFull(errors.Saturated):
    """Every thread of the worker is busy; another worker may have one."""

    def __init__(self, retry_after: float) -> None:
        """``retry_after`` is in seconds, an estimate."""
        super().__init__("every thread of this worker is busy", retry_after)


class WaitersFull(WorkerFull):
    """As many threads of the worker as may do so wait for jobs already; another worker may have one."""

    def __init__(self, most: int) -> None:
        """``most`` is how many may."""
        errors.Saturated.__init__(self, f"{most} requests wait for jobs in this worker, and no more may", 1)


class InvalidRequest(RequestError):
    """Members of the body, or parameters of the query, are not what they have to be."""

    def __init__(self, what: str, mistakes: Sequence[Mapping[str, Any]]) -> None:
        """``mistakes`` holds a ``loc`` (list of names and indices) and a ``msg`` each."""
        listed = mistakes[:MAX_ERRORS]
        more = f"; of the mistakes the first {len(listed)} are listed"
        super().__init__(f"{what} can't be taken{more if len(mistakes) > len(listed) else ''}")
        self.errors = listed


class NoResult(RequestError):
    """The job has no result, or none yet."""

    def __init__(self, job: str, state: str) -> None:
        """Say where the job stands."""
        super().__init__(f"job {job} is {state} and has no result")


TABLE: dict[type[Exception], Kind] = KINDS | {
    MalformedJson: Kind(400, "malformed-json", "The body is not JSON"),
    MalformedBody: Kind(400, "malformed-body", "The body can't be read"),
    InvalidHeader: Kind(400, "invalid-header", "A header can't be used"),
    http.BadRequest: Kind(400, "bad-request", "The request can't be understood"),
    Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    http.Forbidden: Kind(403, "forbidden", "That page may not call this service"),
    http.NotFound: Kind(404, "not-found", "There is nothing here"),
    PipelineNotFound: Kind(404, "pipeline-not-found", "There is no such pipeline"),
    JobNotFound: Kind(404, "job-not-found", "There is no such job"),
    BatchNotFound: Kind(404, "batch-not-found", "There is no such batch"),
    NoResult: Kind(404, "no-result", "The job has no result"),
    http.MethodNotAllowed: Kind(405, "method-not-allowed", "That method is not allowed here"),
    BodyTooSlow: Kind(408, "body-too-slow", "The body came too slowly"),
    WrongState: Kind(409, "wrong-state", "The job's state does not allow it"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    http.RequestEntityTooLarge: Kind(413, "body-too-large", "The body is too large"),
    http.RequestURITooLarge: Kind(414, "uri-too-long", "The request's path and query are too long"),
    WrongMediaType: Kind(415, "unsupported-media-type", "The task does not take this media type"),
    CompressedBody: Kind(415, "unsupported-media-type", "The task does not take this media type"),
    http.MisdirectedRequest: Kind(421, "misdirected-request", "This service has another name"),
    InvalidArguments: Kind(422, "validation", "The arguments don't fit the task"),
    InvalidRequest: KINDS[InvalidArguments],
    KeyReused: Kind(422, "idempotency-key-reused", "The idempotency key was used for something else"),
    RateLimited: Kind(429, "rate-limited", "Too many requests in a minute"),
    TooManyConcurrent: Kind(429, "too-many-concurrent", "Too many requests at once"),
    http.RequestHeaderFieldsTooLarge: Kind(431, "header-too-large", "The header is too large"),
    StoreUnavailable: Kind(503, "store-unavailable", "The store of jobs can't be used now"),
    errors.RunnerLost: KINDS[errors.TaskCrashed],
    errors.ResultNotJson: KINDS[errors.NotSerializable],
    TooLate: KINDS[errors.DeadlineExceeded],
    http.InternalServerError: KINDS[Exception],
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told about an error."""

    kind: Kind
    detail: str
    #: What the document has beside the members that all have.
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Build the problem document, but for its instance."""
        return {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> Response:
        """Answer with the problem document."""
        body = dumps(self.document() | {"instance": request.path})
        return Response(body, self.kind.status, self.headers, content_type="application/problem+json")


def describe(error: Exception) -> Problem:
    """Find what a client is told about an error: never a stack trace, nothing of what is not ours."""
    if isinstance(error, http.HTTPException):
        return _describe_http(error)
    if is_invalid_input(error):
        return Problem(TABLE[InvalidInput], detail_of(error), members_of(error))
    kind = _kind_of(error)
    if kind is TABLE[Exception]:
        return Problem(kind, "the error has been logged under this request's id", members_of(error))
    members = {"errors": error.errors} if isinstance(error, InvalidRequest) else members_of(error)
    return Problem(kind, detail_of(error), members, _headers_for(error))


def of_status(status: int, detail: str) -> bytes:
    """Return the document for what the server refuses before there is a request."""
    error = http.default_exceptions.get(status, http.InternalServerError)(detail)
    return dumps(_describe_http(error).document())


def install(app: Flask) -> None:
    """Answer whatever a view raises with its problem document."""
    app.register_error_handler(Exception, handle)


def handle(error: Exception) -> Response:
    """Log what an operator should see, and build the response."""
    note(error)
    problem = describe(error)
    request.environ["everycore.problem"] = problem.kind.slug
    return problem.response()


def note(error: Exception) -> None:
    """Log what is the service's or the task's fault, with its traceback if it has one."""
    where = members_of(error) if isinstance(error, errors.StageFailed) else {}
    error = errors.cause_of(error)
    if isinstance(error, errors.TaskFailed):
        if not is_invalid_input(error):
            _log.warning("task failed", error=str(error), traceback=error.traceback, **where)
    elif isinstance(error, errors.ResultNotJson):
        _log.warning("result has no form in JSON", error=error.reason, **where)
    elif isinstance(error, errors.ConfigurationError):
        _log.error("what the tasks need can't be loaded", error=str(error))
    elif isinstance(error, StoreUnavailable):
        _log.warning("the store of jobs can't be used", reason=error.reason)
    elif isinstance(error, errors.CallError | errors.EngineUnavailable):
        _log.warning("call ended without a result", error=str(error), **where)
    elif not isinstance(error, http.HTTPException) and _kind_of(error) is TABLE[Exception]:
        _log.error("internal error", exc_info=error)


def _kind_of(error: Exception) -> Kind:
    return next(TABLE[cls] for cls in type(errors.cause_of(error)).__mro__ if cls in TABLE)


def _kind_of_status(status: int, name: str) -> Kind:
    return Kind(status, re.sub("[^a-z]+", "-", name.lower()), name)


def _headers_for(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="everycore"' + ', error="invalid_token"' * error.given}
    if isinstance(error, errors.Saturated | LimitReached):
        elsewhere = {"Connection": "close"} if isinstance(error, WorkerFull) else {}
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))} | elsewhere
    if isinstance(error, StoreUnavailable):
        return {"Retry-After": str(STORE_SECONDS)}
    if isinstance(error, BodyTooLarge | BodyTooSlow):
        # The rest of the body is under way, and nobody reads it.
        return {"Connection": "close"}
    return {}


def _describe_http(error: http.HTTPException) -> Problem:
    status = error.code or 500
    kind = next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE and cls is not Exception), None)
    if kind is None:
        kind = _kind_of_status(status, error.name)
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return Problem(kind, error.description or error.name, {}, headers)
