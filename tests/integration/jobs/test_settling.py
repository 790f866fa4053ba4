"""How attempts end, and what they say before: all of a step is written, or nothing."""

import sqlite3
import time

import psycopg
import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Line, Settlement, Step, Want
from service.jobs.model import LogLine, Payload, State
from tests.integration.jobs.actors import ask, claim, lines, new_job, order, settle

# How attempts end


def test_how_an_attempt_ended_is_written_down(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    said = {"done": 1, "total": 2, "note": "é"}

    taken = settle(
        runner, claimed.job, result=Payload(JSON, b"3"), progress=said, run_seconds=0.5, cpu_seconds=0.25
    )

    assert taken
    after = store.get(job.id)
    assert (after.state, after.version, after.attempts) == (State.SUCCEEDED, 3, 1)
    assert (after.progress, after.run_seconds, after.cpu_seconds) == (said, 0.5, 0.25)
    assert (after.failures, after.crashes, after.error) == (0, 0, None)
    assert after.finished_at is not None
    assert store.result(job.id) == Payload(JSON, b"3")


def test_a_job_is_tried_again_at_its_time(store, runner, database):
    job, _ = store.submit(new_job(max_attempts=3))
    error = {"title": "no", "detail": "\0 \ud800"}
    later = time.time() + 3600
    settle(runner, claim(runner)[0].job, State.QUEUED, run_at=later, failed=1, error=error)

    waiting = store.get(job.id)
    assert (waiting.state, waiting.run_at, waiting.finished_at) == (State.QUEUED, later, None)
    assert (waiting.failures, waiting.crashes, waiting.error) == (1, 0, error)
    assert order(runner) == []
    with database.transaction() as tx:
        tx.all("make_ready", now=later, limit=10)
    (claimed,) = claim(runner)
    assert claimed.job.attempts == 2
    settle(runner, claimed.job, State.QUEUED, run_at=0, crashed=1)
    again = store.get(job.id)
    assert (again.failures, again.crashes, again.error) == (1, 1, error)
    (claimed,) = claim(runner)
    settle(runner, claimed.job)
    assert store.get(job.id).error is None


def test_what_went_wrong_last_is_known_until_it_goes_right(store, runner):
    job, _ = store.submit(new_job())
    error = {"title": "no"}
    settle(runner, claim(runner)[0].job, State.QUEUED, run_at=0, failed=1, error=error)

    settle(runner, claim(runner)[0].job, State.QUEUED)  # given back

    assert store.get(job.id).error == error
    settle(runner, claim(runner)[0].job, State.CANCELLED)
    assert store.get(job.id).error == error


def test_a_job_that_somebody_wants_cancelled_is_not_tried_again(store, runner):
    job, _ = store.submit(new_job(webhook="https://example.org/"))
    (claimed,) = claim(runner)
    store.cancel(job.id)

    assert settle(runner, claimed.job, State.QUEUED, run_at=0, failed=1)

    after = store.get(job.id)
    assert (after.state, after.cancel_requested) == (State.CANCELLED, False)
    assert after.finished_at == pytest.approx(time.time(), abs=10)
    assert [each.event for each in store.deliveries(job.id)] == ["job.cancelled"]
    assert order(runner) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_job_that_ended_before_it_was_cancelled_has_ended(store, runner, state):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    store.cancel(job.id)

    settle(runner, claimed.job, state)

    assert (store.get(job.id).state, store.get(job.id).cancel_requested) == (state, False)


def test_an_attempt_is_settled_once(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    assert settle(runner, claimed.job, result=Payload(JSON, b"1"))
    before = store.get(job.id)

    assert not settle(runner, claimed.job, State.FAILED, error={})
    assert not settle(runner, claimed.job, State.SUCCEEDED, result=Payload(JSON, b"2"))

    assert store.get(job.id) == before
    assert store.result(job.id) == Payload(JSON, b"1")


# A step is done whole or not at all


def test_a_step_that_fails_in_the_middle_leaves_nothing(store, runner, url):
    jobs = [store.submit(new_job())[0] for _ in range(4)]
    held = [each.job for each in claim(runner, 3)]
    before = [ask(url, f"SELECT * FROM {table}") for table in ("jobs", "payloads", "job_log", "runners")]
    unfit = Payload(None, b"")  # type: ignore[arg-type] # a result without a media type

    step = Step(
        lines=[line for job in held for line in lines(job, "a", "b")],
        progress={held[0].id: (1, {"done": 1})},
        settlements=[
            Settlement(held[1], State.SUCCEEDED, result=Payload(JSON, b"1")),
            Settlement(held[2], State.SUCCEEDED, result=unfit),
        ],
        wants={1: Want(10, len)},
    )
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        runner.step(step)

    assert [
        ask(url, f"SELECT * FROM {table}") for table in ("jobs", "payloads", "job_log", "runners")
    ] == before
    assert settle(runner, held[1]), "it can still be done"
    assert order(runner) == [jobs[3].id]


def test_a_step_that_was_committed_unknown_to_the_runner_is_done_once(store, runner, new_runner):
    """The answer to a commit may be lost; the runner does it again, and says what it knows it has."""
    ended, forgotten, kept = (store.submit(new_job())[0].id for _ in range(3))
    first, second = claim(runner, 1), []
    step = Step(
        lines=lines(first[0].job, "hello"),
        settlements=[Settlement(first[0].job, State.SUCCEEDED, result=Payload(JSON, b"1"))],
        wants={1: Want(1, len)},
    )
    (lost,) = runner.step(step).claimed
    second = claim(runner, 1)

    hello = lines(second[0].job, "hello")
    runner.step(Step(hello))

    done = runner.step(Step([*step.lines, *hello], settlements=step.settlements, held={ended, kept}))

    assert lost.job.id == forgotten
    assert done.refused == step.settlements
    for job in (ended, kept):
        assert [line.line for line in store.log(job)] == ["hello"]
    assert store.result(ended) == Payload(JSON, b"1")
    assert [store.get(job).state for job in (ended, forgotten, kept)] == ["succeeded", "queued", "running"]
    assert settle(runner, second[0].job)
    assert order(new_runner()) == [forgotten]


def test_what_is_settled_may_be_claimed_again_in_the_same_step(store, runner):
    job, _ = store.submit(new_job())
    (first,) = claim(runner)

    done = runner.step(
        Step(
            lines=lines(first.job, "one", "two"),
            settlements=[Settlement(first.job, State.QUEUED)],
            wants={1: Want(1, len)},
        )
    )

    (second,) = done.claimed
    assert (second.job.id, second.job.attempts, second.log_end) == (job.id, 2, 2)


# The log


def test_lines_of_an_attempt_are_in_the_log(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    runner.step(Step(lines=lines(claimed.job, "one", "zwei ü")))
    settle(runner, claimed.job, State.QUEUED, run_at=0)
    (claimed,) = claim(runner)
    assert claimed.log_end == 2
    runner.step(Step(lines=[Line(job.id, 2, 3, 2.5, "stderr", "three")]))

    assert store.log(job.id) == [
        LogLine(1, 1, 1.0, "stdout", "one"),
        LogLine(2, 1, 1.0, "stdout", "zwei ü"),
        LogLine(3, 2, 2.5, "stderr", "three"),
    ]


def test_lines_are_refused_from_who_does_not_have_the_job(store, runner, new_runner):
    job, other = (store.submit(new_job())[0] for _ in range(2))
    (claimed,) = claim(runner, 1)
    stranger = new_runner()

    stranger.step(Step(lines=lines(claimed.job, "from a stranger")))
    runner.step(Step(lines=lines(claimed.job, "of a later attempt", attempt=2)))
    runner.step(Step(lines=[Line(other.id, 0, 1, 1.0, "stdout", "of a job that waits")]))
    runner.step(Step(lines=[Line("nobody", 1, 1, 1.0, "stdout", "of no job")]))
    settle(runner, claimed.job)
    runner.step(Step(lines=lines(claimed.job, "after its end")))

    assert store.log(job.id) == store.log(other.id) == []


def test_the_last_lines_come_in_time_with_the_end(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)

    done = runner.step(
        Step(lines=lines(claimed.job, "bye"), settlements=[Settlement(claimed.job, State.FAILED)])
    )

    assert done.refused == []
    assert [line.line for line in store.log(job.id)] == ["bye"]


# Progress


def test_progress_is_that_of_the_attempt_that_runs(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    said = {"done": 1, "total": None, "note": "\0"}
    runner.step(Step(progress={job.id: (1, said)}))
    assert store.get(job.id).progress == said

    runner.step(Step(progress={job.id: (2, {"done": 2})}))
    assert store.get(job.id).progress == said

    settle(runner, claimed.job, State.QUEUED, run_at=0, progress=said)
    assert store.get(job.id).progress == said, "until the next one begins"
    claim(runner)
    assert store.get(job.id).progress is None
