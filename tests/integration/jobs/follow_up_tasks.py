"""Tasks that others follow."""

from typing import Any

from service.tasks import FinishedJob, task


@task(on_success="celebrate", on_failure="regret", crash_retries=1)
def adventure() -> int:
    return 1


@task(cpu=0, timeout=5, retries=2)
def celebrate(job: FinishedJob) -> Any:
    return job.result


@task
def regret(job: FinishedJob) -> Any:
    return job.error
