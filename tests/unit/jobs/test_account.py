"""What a runner tells of a step: exact counts, and a line for each attempt, with the id of its request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.jobs import account
from service.jobs.claims import Claim, Done, Settlement, given_back
from service.jobs.model import Payload, State
from service.telemetry import logs
from service.telemetry.metrics.registry import REGISTRY
from tests.unit.jobs.made_jobs import made

TASK = "account.add"


def done(**given: Any) -> Done:
    return Done(**({"claimed": [], "cancels": set(), "refused": [], "settled": []} | given))


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def attempts(outcome: str) -> float:
    return value("everycore_job_attempts_total", task=TASK, outcome=outcome)


def finished(state: str) -> float:
    return value("everycore_jobs_finished_total", task=TASK, state=state)


@pytest.fixture
def lines(capsys) -> Iterator[pytest.CaptureFixture[str]]:
    logs.configure("json", "info")
    yield capsys
    structlog.reset_defaults()


def read(lines: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines.readouterr().out.splitlines()]
    for line in found:
        assert line.pop("timestamp").endswith("Z")
    return found


def test_a_first_attempt_is_told_of_with_its_lag(lines):
    before = value("everycore_job_lag_seconds_sum", task=TASK)
    job = made(task=TASK, request_id="r1", run_at=100.0, started_at=102.5)

    account.tell(done(claimed=[Claim(job, Payload("application/json", b"{}"), 0)]))

    assert value("everycore_job_lag_seconds_sum", task=TASK) == before + 2.5
    line = {"event": "attempt started", "level": "info", "job": job.id, "task": TASK}
    assert read(lines) == [{**line, "attempt": 1, "request_id": "r1"}]


def test_a_later_attempt_has_no_lag_and_a_periodic_job_no_request(lines):
    before = value("everycore_job_lag_seconds_count", task=TASK)
    job = made(task=TASK, attempts=2)

    account.tell(done(claimed=[Claim(job, Payload("application/json", b"{}"), 0)]))

    assert value("everycore_job_lag_seconds_count", task=TASK) == before
    assert "request_id" not in read(lines)[0]


def test_a_clock_that_was_set_back_makes_no_lag_below_0(lines):
    before = value("everycore_job_lag_seconds_sum", task=TASK)
    job = made(task=TASK, run_at=100.0, started_at=90.0)

    account.tell(done(claimed=[Claim(job, Payload("application/json", b"{}"), 0)]))

    assert value("everycore_job_lag_seconds_sum", task=TASK) == before


ERROR = {"type": "/problems/task-failed"}


@pytest.mark.parametrize(
    ("settlement", "state", "outcome"),
    [
        ({"state": State.SUCCEEDED, "run_seconds": 0.25}, State.SUCCEEDED, "succeeded"),
        ({"state": State.FAILED, "error": ERROR, "run_seconds": 0.25}, State.FAILED, "task-failed"),
        ({"state": State.QUEUED, "error": ERROR, "run_seconds": 0.25}, State.QUEUED, "task-failed"),
        ({"state": State.CANCELLED}, State.CANCELLED, "cancelled"),
        ({"state": State.QUEUED}, State.QUEUED, "given-back"),
        # It was to be cancelled when it was given back.
        ({"state": State.QUEUED}, State.CANCELLED, "given-back"),
    ],
)
def test_an_end_is_told_of_by_what_the_store_says_now(lines, settlement, state, outcome):
    job = made(task=TASK, request_id="r1")
    before = attempts(outcome), {each: finished(each) for each in State}
    runs = value("everycore_job_run_seconds_sum", task=TASK)

    account.tell(done(settled=[(Settlement(job, **settlement), state)]))

    assert attempts(outcome) == before[0] + 1
    ended = {state} if state.is_final else set()
    assert {each: finished(each) - before[1][each] for each in State} == {
        each: int(each in ended) for each in State
    }
    ran = settlement.get("run_seconds")
    assert value("everycore_job_run_seconds_sum", task=TASK) == runs + (ran or 0)
    (line,) = read(lines)
    assert (line["event"], line["outcome"], line["state"]) == ("attempt ended", outcome, state.value)
    assert (line["job"], line["request_id"], line.get("seconds")) == (job.id, "r1", ran)


def test_many_ends_are_counted_each(lines):
    settled = [(Settlement(made(task=TASK), State.SUCCEEDED, run_seconds=0.5), State.SUCCEEDED)] * 100
    before = finished("succeeded"), value("everycore_job_run_seconds_count", task=TASK)

    account.tell(done(settled=settled))

    assert finished("succeeded") == before[0] + 100
    assert value("everycore_job_run_seconds_count", task=TASK) == before[1] + 100
    assert len(read(lines)) == 100


def test_what_was_refused_is_no_end(lines):
    before = value("everycore_job_results_refused_total"), attempts("succeeded"), finished("succeeded")

    account.tell(done(refused=[Settlement(made(task=TASK, request_id="r1"), State.SUCCEEDED)]))

    after = value("everycore_job_results_refused_total"), attempts("succeeded"), finished("succeeded")
    assert after == (before[0] + 1, *before[1:])
    (line,) = read(lines)
    assert (line["event"], line["request_id"]) == ("a late result was refused", "r1")


def test_what_was_taken_from_a_lost_runner_is_counted_unless_it_had_moved_on(lines):
    before = value("everycore_job_lease_losses_total"), attempts("runner-lost"), finished("failed")
    again, failed = given_back(made(task=TASK)), Settlement(made(task=TASK), State.FAILED)

    account.tell_of_lost([(again, State.QUEUED), (failed, State.FAILED), (again, None)])

    after = value("everycore_job_lease_losses_total"), attempts("runner-lost"), finished("failed")
    assert after == (before[0] + 2, before[1] + 2, before[2] + 1)
    assert [line["outcome"] for line in read(lines)] == ["runner-lost"] * 2
