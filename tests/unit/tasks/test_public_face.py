"""What a module of tasks may import."""

from __future__ import annotations

import subprocess
import sys

import service.tasks


def test_the_public_face_is_pinned() -> None:
    assert service.tasks.__all__ == [
        "FinishedJob",
        "InvalidInput",
        "Pipeline",
        "Stage",
        "attempt",
        "log",
        "progress",
        "resource",
        "task",
        "trace_headers",
    ]


def test_the_public_face_costs_a_pool_process_nothing_of_the_web_side() -> None:
    heavy = "{'pydantic', 'flask', 'structlog', 'beartype'} & set(sys.modules)"
    code = f"import sys, service.tasks; print({heavy} or 'none')"

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout.strip() == "none"
