"""On what terms a task's jobs run unless a submission says otherwise."""

from __future__ import annotations

from typing import TypedDict

from service.tasks.registry import Task


class Terms(TypedDict):
    """Fields of ``NewJob``."""

    cpu: int
    timeout: float | None
    max_attempts: int
    max_crashes: int


def terms_of(task: Task) -> Terms:
    """Return what ``@task`` says of jobs."""
    return {
        "cpu": task.cpu,
        "timeout": task.timeout,
        "max_attempts": 1 + task.job.retries,
        "max_crashes": task.job.crash_retries,
    }
