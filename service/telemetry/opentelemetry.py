"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP; the only module that imports it.

Its own variables (``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_EXPORTER_OTLP_HEADERS``,
``OTEL_BSP_*`` …) apply.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from opentelemetry.context import Context as ParentContext
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Span as RawSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import service
from service.telemetry.tracing import Context, Kind, Value

#: Seconds that a process waits at its end for what is left to be sent.
LAST_SECONDS = 2.0

_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_propagator = TraceContextTextMapPropagator()
#: Nothing: whatever else the process may have as its current span is not ours.
_ROOT = ParentContext()
# It would warn of each header that can't be read, with what clients have written there.
logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)


class OpenTelemetry:
    """A ``Tracer``."""

    def __init__(self, endpoint: str, sample: float, processor: SpanProcessor | None = None) -> None:
        """Send a part ``sample`` of the traces that begin here, and those that are sampled already.

        ``processor`` takes the place of what sends them to ``endpoint`` in batches.
        """
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)), resource=_resource(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("everycore", service.__version__)
        #: Whether ``OTEL_SDK_DISABLED`` says so.
        self.is_disabled = isinstance(self._tracer, NoOpTracer)

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Context | None,
        *,
        at: float | None = None,
        details: Mapping[str, Value] | None = None,
    ) -> OpenSpan:
        """Return a new span; a ``parent`` that is no valid context is none."""
        above = _ROOT if parent is None else _propagator.extract(parent, _ROOT)
        # One for the whole span, or it could end before it begins.
        offset = time.time_ns() - time.monotonic_ns()
        start = offset + _nanoseconds(at)
        return OpenSpan(self._tracer.start_span(name, above, _KINDS[kind], details, start_time=start), offset)

    def close(self) -> None:
        """Send what is left; whom nobody hears does not hold the process up."""
        # Its own limit is half a minute.
        sending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(LAST_SECONDS)


class OpenSpan:
    """A ``Span``."""

    __slots__ = ("_offset", "_span", "context")

    def __init__(self, span: RawSpan, offset: int) -> None:
        """Keep its context at hand, for others; ``offset`` lies between the epoch and our clock's begin."""
        self._span = span
        self._offset = offset
        context: dict[str, str] = {}
        _propagator.inject(context, set_span_in_context(span, _ROOT))
        self.context: Context = context

    def event(self, name: str, at: float) -> None:
        """Note that something happened."""
        self._span.add_event(name, timestamp=self._offset + _nanoseconds(at))

    def end(
        self,
        *,
        name: str | None = None,
        at: float | None = None,
        error: str = "",
        details: Mapping[str, Value] | None = None,
    ) -> None:
        """End it."""
        if not self._span.is_recording():
            return
        if name is not None:
            self._span.update_name(name)
        if details:
            self._span.set_attributes(details)
        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(self._offset + _nanoseconds(at))


def _resource() -> Resource:
    ours = Resource.create({SERVICE_VERSION: service.__version__})
    told = OTELResourceDetector().detect().attributes
    return ours if SERVICE_NAME in told else ours.merge(Resource({SERVICE_NAME: "everycore"}))


def _nanoseconds(at: float | None) -> int:
    return time.monotonic_ns() if at is None else int(at * 1e9)
