"""What becomes of a job whose attempt went wrong: tried again, and when, or failed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from service import errors
from service.engine.problems import is_invalid_input
from service.jobs.model import Job, State
from service.tasks.options import MAX_DELAY, JobOptions

#: Seconds before the first attempt after a crash, and after the engine could not run a job at all.
CRASH_DELAY = 1.0
AGAIN = 1.0
#: The same when what the tasks need can't be loaded: somebody has to mend it.
MENDED = 15.0
#: How far a delay may be shortened, so that what failed together does not come back together.
JITTER = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a job becomes."""

    state: State
    #: When to run it again, in seconds since the epoch; ``None`` for at once.
    run_at: float | None = None
    #: What it adds to the job's counts.
    failed: int = 0
    crashed: int = 0


def judge(job: Job, error: errors.EverycoreError, options: JobOptions) -> Verdict:
    """Decide after an attempt of ``job`` that ended in ``error``; of a pipeline, its cause counts."""
    cause = errors.cause_of(error)
    if isinstance(cause, errors.ConfigurationError):
        return Verdict(State.QUEUED, _after(MENDED))
    if isinstance(cause, errors.EngineUnavailable):
        return Verdict(State.QUEUED, _after(AGAIN))
    if isinstance(cause, errors.TaskCrashed):
        # A task that takes its process down may take others' down too, so it is not tried for ever.
        if job.crashes < job.max_crashes:
            return Verdict(State.QUEUED, _after_crash(job, cause), crashed=1)
        return Verdict(State.FAILED, crashed=1)
    if job.failures + 1 < job.max_attempts and _is_worth_a_retry(cause, options):
        return Verdict(State.QUEUED, _after(_delay(options.retry_delay, job.failures)), failed=1)
    return Verdict(State.FAILED, failed=1)


def _after_crash(job: Job, error: errors.TaskCrashed) -> float | None:
    earlier = job.crashes
    if isinstance(error, errors.RunnerLost):
        # It has waited for the length of a lease already.
        earlier -= 1
    return None if earlier < 0 else _after(_delay(CRASH_DELAY, earlier))


def _is_worth_a_retry(error: Exception, options: JobOptions) -> bool:
    if isinstance(error, errors.TaskFailed):
        return not is_invalid_input(error) and not options.retry_names.isdisjoint(error.bases)
    if isinstance(error, errors.DeadlineExceeded):
        return issubclass(TimeoutError, options.retry_on)
    if isinstance(error, errors.MemoryLimitExceeded):
        return issubclass(MemoryError, options.retry_on)
    return False  # what can't be sent will not be sent next time


def _delay(first: float, earlier: int) -> float:
    """Double it each time."""
    longest = min(MAX_DELAY, first * 2.0 ** min(earlier, 30))
    return longest * random.uniform(1 - JITTER, 1)  # noqa: S311 - nothing secret hangs on it


def _after(seconds: float) -> float:
    return time.time() + seconds
