"""What every request has: an id, a clock, a deadline, a log line, honest headers, metrics, and a span."""

from __future__ import annotations

import functools
import math
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from flask import Flask, Request, current_app, request
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.wsgi import ClosingIterator

from service.api import spans
from service.api.problems import InvalidHeader
from service.engine.base import Timing
from service.settings import Settings
from service.telemetry import tracing
from service.telemetry.logs import get_logger
from service.telemetry.tracing import Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: An id from outside that is safe in a log line and in a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,127}", re.ASCII)
#: A variable in a route, with or without a converter.
_VARIABLE = re.compile(r"<(?:[^:<>]*:)?([^<>]+)>")
_SECONDS = re.compile(r"\d{1,9}(\.\d{0,30})?([eE][+-]?\d{1,3})?", re.ASCII)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

#: The endpoint that says whether requests are taken.
READINESS = "/readyz"
#: The endpoint of a request that no route is there for.
UNMATCHED = "unmatched"

Headers = list[tuple[str, str]]

_SECURITY: Headers = list(SECURITY_HEADERS.items())

_log = get_logger()


class Counts(Protocol):
    """Counts requests."""

    def request_begins(self) -> None:
        """Count one as under way."""

    def request_ends(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count the end of one; ``endpoint`` is the template of its route, or ``UNMATCHED``."""


@dataclass(slots=True)
class Trace:
    """What is known of the request under way."""

    id: str
    #: ``time.monotonic()`` when it came in.
    begun: float = field(default_factory=time.monotonic)
    #: The task it runs, if any.
    task: str | None = None
    #: Whether its answer is still made while it is sent.
    streamed: bool = False
    #: The status of its answer, and the template of its route.
    status: int = 0
    endpoint: str = UNMATCHED
    _queued: float = math.inf
    _started: float = math.inf
    _finished: float = -math.inf

    @property
    def total(self) -> float:
        """Seconds since it came in."""
        return time.monotonic() - self.begun

    def ran(self, timing: Timing) -> None:
        """Note when the engine worked for this request."""
        self._queued = min(self._queued, timing.queued)
        self._started = min(self._started, timing.started)
        self._finished = max(self._finished, timing.finished)

    @property
    def queued(self) -> float | None:
        """Seconds between the first call's being taken in and started; ``None`` when nothing ran."""
        return None if self._queued is math.inf else self._started - self._queued

    @property
    def run(self) -> float | None:
        """Seconds between the first call's start and the last one's end."""
        return None if self._queued is math.inf else self._finished - self._started


def trace() -> Trace:
    """Return the trace of the request under way."""
    found: Trace = request.environ["everycore.trace"]
    return found


def settings() -> Settings:
    """Return the application's settings."""
    found: Settings = current_app.extensions["everycore.settings"]
    return found


def deadline(request: Request) -> float:
    """Return the ``time.monotonic()`` time by which the request must be answered.

    Raises ``InvalidHeader`` for a ``Request-Timeout`` that is no number of seconds, or too many.
    """
    seconds = settings().request_timeout
    asked = request.headers.get("Request-Timeout")
    if asked is not None:
        most = settings().request_timeout_max
        seconds = float(asked) if _SECONDS.fullmatch(asked) else 0.0
        if not 0 < seconds <= most:
            raise InvalidHeader(f"Request-Timeout must be seconds, more than 0 and at most {most:g}")
    return trace().begun + seconds


def install(app: Flask, counts: Counts, tracer: Tracer | None = None) -> None:
    """Open a trace before each request; tell about it in headers, in the log and to ``counts`` after it.

    With a ``tracer`` each request is a span.
    """
    app.wsgi_app = Traced(app.wsgi_app, counts, tracer)  # type: ignore[method-assign] # Flask's own way to wrap it


class Traced:
    """Around the application, not in it: its hooks would take a third of a small request's time."""

    def __init__(self, app: WSGIApplication, counts: Counts, tracer: Tracer | None = None) -> None:
        """Wrap ``app``."""
        self._app = app
        self._counts = counts
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        known = Trace(given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex())
        environ["everycore.trace"] = known
        # Every line of this request carries its id.
        bind_contextvars(request_id=known.id)
        span = None if self._tracer is None else spans.begin(self._tracer, environ, known.id)
        if span is not None:
            tracing.current.set(span.context)
            bind_contextvars(trace_id=tracing.trace_id(span.context))
        self._counts.request_begins()

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            known.status, known.endpoint = int(status[:3]), _endpoint(environ)
            return start_response(status, headers + _added(headers, known), exc_info)

        def count() -> None:
            status = known.status or 500  # there was no time to say so
            self._counts.request_ends(environ["REQUEST_METHOD"], known.endpoint, status, known.total)
            if span is not None:
                route = None if known.endpoint == UNMATCHED else known.endpoint
                spans.end(span, environ, status, route, known.task)
                tracing.current.set(None)

        def end() -> None:
            count()
            if known.endpoint == READINESS and known.status == HTTPStatus.OK:
                # Proxies ask many times a minute.
                _log.debug("request", **_line(environ, known))
            else:
                _log.info("request", **_line(environ, known))
            clear_contextvars()

        try:
            body = self._app(environ, start)
        except BaseException:
            count()
            clear_contextvars()
            raise
        if known.streamed:
            # Its work is done, and its durations are known, when the last of it is sent.
            return ClosingIterator(body, end)
        end()
        return body


def _endpoint(environ: WSGIEnvironment) -> str:
    """Return the template of the route that the request takes, as OpenAPI writes it, before Flask is done."""
    taken: Request | None = environ.get("werkzeug.request")
    rule = None if taken is None else taken.url_rule
    return UNMATCHED if rule is None else _template(rule.rule)


@functools.cache
def _template(rule: str) -> str:
    return _VARIABLE.sub(r"{\1}", rule)


def _added(headers: Headers, known: Trace) -> Headers:
    added = [("X-Request-ID", known.id), ("Server-Timing", _server_timing(known))]
    present = {name for name, _ in headers}
    if present.isdisjoint(SECURITY_HEADERS):
        return added + _SECURITY
    return [*added, *(header for header in _SECURITY if header[0] not in present)]


def _server_timing(known: Trace) -> str:
    total = f"total;dur={1000 * known.total:.3f}"
    if known.queued is None or known.run is None:
        return total
    return f"queue;dur={1000 * known.queued:.3f}, run;dur={1000 * known.run:.3f}, {total}"


def _line(environ: WSGIEnvironment, known: Trace) -> dict[str, Any]:
    line = {
        "method": environ["REQUEST_METHOD"],
        # Encoded as it came, for a decoded line break would make two lines of the console form.
        "path": quote(environ["PATH_INFO"].encode("latin1")),
        "status": known.status,
        "task": known.task,
        "problem": environ.get("everycore.problem"),
    }
    durations = {"queued": known.queued, "run": known.run, "total": known.total}
    line |= {name: round(seconds, 6) for name, seconds in durations.items() if seconds is not None}
    return {name: value for name, value in line.items() if value is not None}
