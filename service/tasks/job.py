"""What a task sees of the job that it runs in: which attempt it is, and a log of its own.

log("read", 3) ─┬─ in a job ─────> a line of the job's log
                ├─ in a request ─> a line of the service's log, with the id of the request
                └─ elsewhere ────> standard output
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from service.tasks.progress import emitter
from service.telemetry import tracing

#: Longest line of a log, in characters; what is longer makes several.
MAX_LINE = 8192

#: Number of the attempt that runs; 0 outside of a job.
current_attempt: ContextVar[int] = ContextVar("current_attempt", default=0)
#: What lines of the service's log say of the call: nothing where there are to be none; ``None`` outside of
#: one, and where they are not JSON.
current_call: ContextVar[Mapping[str, str] | None] = ContextVar("current_call", default=None)


def attempt() -> int:
    """Return how many times the job has been started, this time included; 1 outside of a job."""
    return max(1, current_attempt.get())


def log(*values: object, sep: str = " ") -> None:
    """Write a line to the job's log; outside of a job, to the log of the service."""
    text = sep.join(map(str, values))
    emit = emitter.get()
    if emit is None or not current_attempt.get():
        _say(text)
        return
    for line in sendable(text).split("\n"):
        send_line(emit, "log", line)


def _say(text: str) -> None:
    call = current_call.get()
    if call is None:
        sys.stdout.write(f"{text}\n")
    if not call:
        return
    trace = tracing.current.get()
    line = {
        "line": text,
        **call,
        **({} if trace is None else {"trace_id": tracing.trace_id(trace)}),
        "event": "task log",
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    # At once, and in one write: others write there, too. A reader that went away makes no call fail.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()


def send_line(emit: Callable[[str, Any], None], stream: str, line: str) -> None:
    """Send one line of a job's log, in pieces if need be."""
    for start in range(0, len(line) or 1, MAX_LINE):
        emit("log", {"stream": stream, "line": line[start : start + MAX_LINE]})


def sendable(text: str) -> str:
    """Return the text with an escape in the place of what no file could hold: half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
