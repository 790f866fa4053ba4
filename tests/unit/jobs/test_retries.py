"""What becomes of a job whose attempt went wrong."""

import time
from typing import Any

import pytest

from service import errors
from service.jobs.model import Job, State
from service.jobs.retries import CRASH_DELAY, JITTER, Verdict, judge
from service.tasks.options import MAX_DELAY, JobOptions

BASES = (
    "builtins.ConnectionResetError",
    "builtins.ConnectionError",
    "builtins.OSError",
    "builtins.Exception",
)
RAISED = errors.TaskFailed("ConnectionResetError", "x", "", BASES)
CRASH = errors.TaskCrashed(1, -11)

#: Errors, what ``retry_on`` has to name for them to be tried again, and what does not help.
BY_TYPE = [
    (RAISED, OSError, ValueError),
    (RAISED, (ValueError, ConnectionResetError), ConnectionAbortedError),
    (errors.DeadlineExceeded(1.0, started=True), TimeoutError, MemoryError),
    (errors.DeadlineExceeded(1.0, started=True), OSError, ValueError),  # as TimeoutError is one
    (errors.MemoryLimitExceeded(1), MemoryError, OSError),
]

#: What is wrong with the job itself, and will be next time.
HOPELESS = [
    errors.NotSerializable("result", "x"),
    errors.TaskNotFound("x"),
    errors.TaskFailed(
        "InvalidInput", "x", "", ("service.tasks.invalid_input.InvalidInput", "builtins.Exception")
    ),
]


def job(**given: Any) -> Job:
    plain: dict[str, Any] = dict.fromkeys(Job.__slots__)
    plain |= {"id": "j", "task": "t", "state": State.RUNNING, "attempts": 1, "failures": 0, "crashes": 0}
    return Job(**(plain | {"max_attempts": 3, "max_crashes": 3} | given))


def delay(verdict: Verdict) -> float:
    assert verdict.run_at is not None
    return verdict.run_at - time.time()


def in_a_stage(error: errors.EverycoreError) -> errors.StageFailed:
    return errors.StageFailed("parse", 3, error)


@pytest.mark.parametrize(("error", "named", "other"), BY_TYPE)
def test_errors_of_the_types_that_are_named_are_tried_again(error, named, other):
    for options in (JobOptions(retry_on=named), JobOptions()):
        verdict = judge(job(), error, options)
        assert (verdict.state, verdict.failed, verdict.crashed) == (State.QUEUED, 1, 0)
    assert judge(job(), error, JobOptions(retry_on=other)) == Verdict(State.FAILED, failed=1)


@pytest.mark.parametrize(("error", "named", "other"), BY_TYPE)
def test_in_a_pipeline_it_is_the_cause_that_counts(error, named, other):
    for options in (JobOptions(retry_on=named), JobOptions()):
        assert judge(job(), in_a_stage(error), options).state is State.QUEUED
    assert judge(job(), in_a_stage(error), JobOptions(retry_on=other)) == Verdict(State.FAILED, failed=1)


@pytest.mark.parametrize("error", HOPELESS)
def test_so_it_is_when_it_will_fail_again(error):
    assert judge(job(), in_a_stage(error), JobOptions()) == Verdict(State.FAILED, failed=1)


def test_a_crash_of_a_stage_is_counted_as_one():
    verdict = judge(job(), in_a_stage(CRASH), JobOptions(retry_on=ValueError))

    assert (verdict.state, verdict.failed, verdict.crashed) == (State.QUEUED, 0, 1)
    assert judge(job(crashes=3), in_a_stage(CRASH), JobOptions()) == Verdict(State.FAILED, crashed=1)


@pytest.mark.parametrize("error", HOPELESS)
def test_what_will_fail_again_is_not_tried_again(error):
    assert judge(job(), error, JobOptions()) == Verdict(State.FAILED, failed=1)


def test_there_are_as_many_attempts_as_may_fail():
    states = [judge(job(failures=failures), RAISED, JobOptions()).state for failures in range(4)]

    assert states == [State.QUEUED, State.QUEUED, State.FAILED, State.FAILED]
    assert judge(job(max_attempts=1), RAISED, JobOptions()).state is State.FAILED


@pytest.mark.parametrize("error", [CRASH, errors.RunnerLost(1)])
def test_crashes_are_counted_apart(error):
    """They are not the task's errors, and are tried again whatever ``retry_on`` says."""
    verdicts = [
        judge(job(crashes=crashes, failures=2, max_attempts=3), error, JobOptions(retry_on=ValueError))
        for crashes in range(4)
    ]

    assert [verdict.state for verdict in verdicts] == [State.QUEUED] * 3 + [State.FAILED]
    assert {(verdict.failed, verdict.crashed) for verdict in verdicts} == {(0, 1)}
    assert judge(job(max_crashes=0), error, JobOptions()).state is State.FAILED
    assert judge(job(crashes=99), RAISED, JobOptions()).state is State.QUEUED


@pytest.mark.parametrize(
    "error", [errors.Saturated("x", 1.0), errors.Stopping(), errors.EngineUnavailable("x")]
)
def test_what_never_ran_counts_nothing(error):
    verdict = judge(job(failures=99, crashes=99), error, JobOptions(retry_on=ValueError))

    assert (verdict.state, verdict.failed, verdict.crashed) == (State.QUEUED, 0, 0)
    assert 0 < delay(verdict) <= 1


@pytest.mark.parametrize(
    ("failures", "longest"), [(0, 2.0), (1, 4.0), (2, 8.0), (6, 128.0), (9, 300.0), (10**6, 300.0)]
)
def test_each_wait_is_twice_as_long_up_to_the_longest(failures, longest):
    options = JobOptions(retry_delay=2.0)
    given = job(failures=failures, max_attempts=10**9)

    delays = [delay(judge(given, RAISED, options)) for _ in range(200)]

    assert longest <= MAX_DELAY
    assert max(delays) <= longest
    assert min(delays) >= longest * JITTER - 1
    assert max(delays) - min(delays) > longest * (1 - JITTER) / 2, (
        "what failed together does not come back together"
    )


def test_without_a_delay_it_is_tried_again_at_once():
    assert delay(judge(job(), RAISED, JobOptions(retry_delay=0.0))) <= 0


def test_after_a_crash_it_waits_longer_each_time():
    for crashes in range(3):
        longest = CRASH_DELAY * 2.0**crashes
        delays = [delay(judge(job(crashes=crashes), CRASH, JobOptions(retry_delay=99.0))) for _ in range(50)]
        assert longest * JITTER - 0.5 < min(delays) <= max(delays) <= longest


def test_who_lost_its_runner_has_waited_already():
    lost = errors.RunnerLost(1)

    assert judge(job(), lost, JobOptions()).run_at is None
    assert 0 < delay(judge(job(crashes=1), lost, JobOptions())) <= CRASH_DELAY
