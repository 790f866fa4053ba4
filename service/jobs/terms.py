"""On what terms a task's jobs run unless a submission says otherwise."""

from __future__ import annotations

from typing import TypedDict

from service.tasks.registry import Task

#: Seconds that an attempt may take when neither the task nor the submission says.
JOB_TIMEOUT = 3600.0


class Terms(TypedDict):
    """Fields of ``NewJob``."""

    cpu: int
    timeout: float
    max_attempts: int
    max_crashes: int


def terms_of(task: Task) -> Terms:
    """Return what ``@task`` says of jobs."""
    return {
        "cpu": task.cpu,
        "timeout": task.timeout or JOB_TIMEOUT,
        "max_attempts": 1 + task.job.retries,
        "max_crashes": task.job.crash_retries,
    }
