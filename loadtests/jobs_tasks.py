"""The tasks that the service's jobs are measured with; it is told of them by SERVICE_TASK_MODULES."""

from __future__ import annotations

from loadtests import jobs_work
from service.tasks import task

noop = task(jobs_work.noop)
stamp = task(jobs_work.stamp)
