"""What every request has: an id, a clock, a deadline, a log line, headers that keep browsers honest."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, Response, current_app, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from service.api.problems import InvalidHeader
from service.engine.base import Timing
from service.settings import Settings
from service.telemetry.logs import get_logger

#: An id from outside that is safe in a log line and in a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,127}", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{0,30})?([eE][+-]?\d{1,3})?", re.ASCII)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_log = get_logger()


@dataclass(slots=True)
class Trace:
    """What is known of the request under way."""

    id: str
    #: ``time.monotonic()`` when it came in.
    begun: float = field(default_factory=time.monotonic)
    #: The task it runs, if any.
    task: str | None = None
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
    found: Trace = g.trace
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


def install(app: Flask) -> None:
    """Open a trace before each request; tell about it in headers and in the log after it."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda _: clear_contextvars())


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.trace = Trace(given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
    # Every line of this request carries its id.
    bind_contextvars(request_id=g.trace.id)


def _end(response: Response) -> Response:
    known = trace()
    response.headers["X-Request-ID"] = known.id
    response.headers["Server-Timing"] = _server_timing(known)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.is_streamed:
        line = _line(response.status_code)
        # Its work is done, and its durations are known, when the last of it is sent.
        response.call_on_close(lambda: _log.info("request", **line, **_durations(known)))
    else:
        _log.info("request", **_line(response.status_code), **_durations(known))
    return response


def _server_timing(known: Trace) -> str:
    parts = {"queue": known.queued, "run": known.run, "total": known.total}
    return ", ".join(f"{name};dur={1000 * s:.3f}" for name, s in parts.items() if s is not None)


def _line(status: int) -> dict[str, Any]:
    return {
        "request_id": trace().id,
        "method": request.method,
        # Encoded as it came, for a decoded line break would make two lines of the console form.
        "path": quote(request.path),
        "status": status,
        **({"task": trace().task} if trace().task else {}),
        **({"problem": g.problem} if "problem" in g else {}),
    }


def _durations(known: Trace) -> dict[str, float]:
    durations = {"queued": known.queued, "run": known.run, "total": known.total}
    return {name: round(seconds, 6) for name, seconds in durations.items() if seconds is not None}
