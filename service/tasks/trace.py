"""The trace that a running task is part of."""

from __future__ import annotations

from service.telemetry.tracing import current


def trace_headers() -> dict[str, str]:
    """Return the headers with which what the running task asks of others becomes part of its trace.

    They are those of W3C Trace Context: ``httpx.get(url, headers=trace_headers())``. There are none when
    nobody traces, outside a call, and in threads that the task has started, as for any context variable.
    """
    return dict(current.get() or {})
