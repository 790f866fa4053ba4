"""Spans of requests, calls and jobs: what everybody sees of them, without OpenTelemetry, which is an extra.

    request ──> span ──> call, in a process of the pool ──> span     headers()  ──> what a task asks of others
       └─ job ──────> attempt, in a runner ──> span ─────────^

What goes between processes and hosts, and waits in the store with a job, is the context of W3C Trace Context:
the headers ``traceparent`` and, perhaps, ``tracestate``. Times are ``time.monotonic()`` seconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Literal, Protocol

from service.errors import ConfigurationError

#: ``traceparent``, perhaps ``tracestate``.
Context = Mapping[str, str]
Value = str | bool | int | float
Kind = Literal["server", "client", "consumer", "internal"]

#: The span that this thread works for.
current: ContextVar[Context | None] = ContextVar("everycore.trace", default=None)


class Span(Protocol):
    """Something that takes time."""

    @property
    def context(self) -> Context:
        """What follows from it belongs to this."""

    def event(self, name: str, at: float) -> None:
        """Note that something happened."""

    def end(
        self,
        *,
        name: str | None = None,
        at: float | None = None,
        error: str = "",
        details: Mapping[str, Value] | None = None,
    ) -> None:
        """End it, now if no time is told, perhaps under another ``name``; further calls do nothing.

        ``error`` says what went wrong, if anything did.
        """


class Tracer(Protocol):
    """Begins spans. Any thread may use it."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Context | None,
        *,
        at: float | None = None,
        details: Mapping[str, Value] | None = None,
    ) -> Span:
        """Return a new span, of a new trace if it has no ``parent``; it begins now if no time is told."""

    def close(self) -> None:
        """Send what is left, if that is soon done."""


def open_tracer(endpoint: str | None, sample: float) -> Tracer | None:
    """Return what sends spans to an ``endpoint`` for OTLP over HTTP; ``None`` if there are to be none.

    It sends a part ``sample`` of the traces that begin here, and those that somebody else samples. It starts
    a thread. Raises ``ConfigurationError`` when OpenTelemetry is not installed.
    """
    check(endpoint)
    if endpoint is None:
        return None
    from service.telemetry.opentelemetry import OpenTelemetry  # noqa: PLC0415 - an extra

    tracer = OpenTelemetry(endpoint, sample)
    return None if tracer.is_disabled else tracer


def check(endpoint: str | None) -> None:
    """Raise ``ConfigurationError`` if spans are to be sent and can't be."""
    if endpoint is not None and not _is_installed():
        raise ConfigurationError(
            "SERVICE_TRACES_ENDPOINT needs OpenTelemetry, which is not installed: make tracing, or"
            " pip install -r requirements/tracing.txt"
        )


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


def trace_id(context: Context) -> str:
    """Return the id of the trace, for lines of the log."""
    return context["traceparent"].split("-")[1]
