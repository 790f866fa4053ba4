"""What a task sees of the job that it runs in: which attempt it is, and a log of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from service.tasks.progress import emitter

#: Longest line of a log, in characters; what is longer makes several.
MAX_LINE = 8192

#: Number of the attempt that runs; 0 outside of a job.
current_attempt: ContextVar[int] = ContextVar("current_attempt", default=0)


def attempt() -> int:
    """Return how many times the job has been started, this time included; 1 outside of a job."""
    return max(1, current_attempt.get())


def log(*values: object, sep: str = " ") -> None:
    """Write a line to the job's log; outside of a job, to the standard output of the service."""
    text = sep.join(map(str, values))
    emit = emitter.get()
    if emit is None or not current_attempt.get():
        sys.stdout.write(f"{text}\n")
        return
    for line in sendable(text).split("\n"):
        send_line(emit, "log", line)


def send_line(emit: Callable[[str, Any], None], stream: str, line: str) -> None:
    """Send one line of a job's log, in pieces if need be."""
    for start in range(0, len(line) or 1, MAX_LINE):
        emit("log", {"stream": stream, "line": line[start : start + MAX_LINE]})


def sendable(text: str) -> str:
    """Return the text with an escape in the place of what no file could hold: half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
