"""What a follow-up gets to know: the task that ``on_success`` or ``on_failure`` names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that has ended; the type of a follow-up's one argument, ``job``."""

    id: str
    #: Name of its task.
    task: str
    #: ``"succeeded"``, ``"failed"`` or ``"expired"``.
    state: str
    #: How often it was started.
    attempts: int
    #: What it returned, as JSON has it; ``None`` when it returned bytes.
    result: Any = None
    #: The problem document of what went wrong last.
    error: dict[str, Any] | None = None
