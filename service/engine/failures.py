"""How a call went wrong, on its way from the process that it ran in to its owner."""

from __future__ import annotations

import traceback
from typing import Any

from service.errors import CallError, MemoryLimitExceeded, NotSerializable, TaskFailed
from service.tasks.options import qualified

MAX_TEXT = 4000
#: How a call ended.
OK, FAILED, MEMORY, UNREADABLE, UNSENDABLE = range(5)


def failure(error: BaseException, otherwise: int) -> tuple[int, Any]:
    """Return how a call ended, and what the owner is told about it."""
    if isinstance(error, MemoryError):
        return MEMORY, None
    if otherwise == FAILED:
        return FAILED, (type(error).__name__, _text(error), _trace(error), _bases(error))
    return otherwise, f"{type(error).__name__}: {_text(error)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException:  # noqa: BLE001 - an exception's own code may be broken too
        return "(its text can't be had)"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-20))[-MAX_TEXT:]
    except BaseException:  # noqa: BLE001 - as above
        return ""


def _bases(error: BaseException) -> tuple[str, ...]:
    try:
        return tuple(map(qualified, type(error).__mro__))
    except BaseException:  # noqa: BLE001 - as above
        return ()


def error_of(status: int, said: Any, memory_limit: int | None) -> CallError:
    """Return the error that ``failure`` told of, in the owner."""
    if status == FAILED:
        return TaskFailed(*said)
    if status == UNREADABLE:
        return NotSerializable("arguments", said)
    if status == UNSENDABLE:
        return NotSerializable("result", said)
    return MemoryLimitExceeded(memory_limit)
