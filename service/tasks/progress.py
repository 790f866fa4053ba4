"""What a running task says before it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

#: Takes the kind and the data of an event; set by whoever runs the task, ``None`` outside a call.
emitter: ContextVar[Callable[[str, Any], None] | None] = ContextVar("emitter", default=None)


def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Report how far the running task has come; does nothing outside a call."""
    emit = emitter.get()
    if emit is not None:
        emit("progress", {"done": done, "total": total, "note": note})
