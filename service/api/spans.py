"""The span of a request, with the names of OpenTelemetry's conventions for HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from service.telemetry.tracing import Span, Tracer, Value

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: From here on it is the server that has failed.
_SERVER_ERROR = 500
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


def begin(tracer: Tracer, environ: WSGIEnvironment, request_id: str) -> Span:
    """Begin it: below that of the client, if its headers tell of one."""
    parent = None
    if traceparent := environ.get("HTTP_TRACEPARENT"):
        parent = {"traceparent": traceparent, "tracestate": environ.get("HTTP_TRACESTATE", "")}
    details: dict[str, Value] = {
        "http.request.method": _method(environ, "_OTHER"),
        "url.path": quote(environ["PATH_INFO"].encode("latin1")),
        "url.scheme": environ["wsgi.url_scheme"],
        "everycore.request_id": request_id,
    }
    if agent := environ.get("HTTP_USER_AGENT"):
        details["user_agent.original"] = agent
    return tracer.begin(_method(environ, "HTTP"), "server", parent, details=details)


def end(span: Span, environ: WSGIEnvironment, status: int, route: str | None, task: str | None) -> None:
    """End it; ``route`` is the template of the route that the request took, if it took any."""
    details: dict[str, Value] = {"http.response.status_code": status}
    if task is not None:
        details["everycore.task"] = task
    if route is not None:
        details["http.route"] = route
    error = ""
    if status >= _SERVER_ERROR:
        error = details["error.type"] = environ.get("everycore.problem") or str(status)
    method = _method(environ, "HTTP")
    span.end(name=method if route is None else f"{method} {route}", error=error, details=details)


def _method(environ: WSGIEnvironment, other: str) -> str:
    """Return the method, if it is one that everybody knows: there are few names of spans."""
    method: str = environ["REQUEST_METHOD"]
    return method if method in _METHODS else other
