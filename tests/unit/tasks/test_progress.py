"""Progress of a running task."""

from __future__ import annotations

from typing import Any

from service.tasks import progress
from service.tasks.progress import emitter


def test_progress_goes_to_whoever_runs_the_task() -> None:
    # Given somebody who listens
    heard: list[tuple[str, Any]] = []
    token = emitter.set(lambda kind, data: heard.append((kind, data)))

    # When the task reports
    progress(3, total=10, note="third")
    emitter.reset(token)

    # Then it is heard
    assert heard == [("progress", {"done": 3, "total": 10, "note": "third"})]


def test_progress_outside_a_call_does_nothing() -> None:
    progress(1)
