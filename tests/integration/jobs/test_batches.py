"""Jobs that are submitted, counted and cancelled together."""

import sqlite3

import psycopg
import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Step
from service.jobs.model import Payload, State
from tests.integration.jobs.actors import ask, claim, new_job, settle


def test_a_batch_has_its_jobs_in_their_order(store):
    jobs = [new_job(content=b"%d" % number) for number in range(10_000)]

    batch, made = store.submit_batch(jobs, "somebody")

    assert made == sorted(set(made))
    assert len(made) == 10_000
    assert batch.total == 10_000
    assert store.batch(batch.id) == batch
    assert batch.counts == {State.QUEUED: 10_000}
    assert batch.owner == "somebody"
    for number in (0, 5000, 9999):
        args = store.args(made[number])
        assert args is not None
        assert args.content == b"%d" % number
        assert store.get(made[number]).batch == batch.id


#: Jobs that can't be added, in batches of how many.
UNFIT = [
    ({"args": Payload(JSON, None)}, 10_000),  # type: ignore[arg-type] # what the last statement would add
    ({"priority": None}, 100),
    ({"idempotency_key": "known"}, 100),
]


@pytest.mark.parametrize(("unfit", "number"), UNFIT)
def test_a_batch_with_one_job_that_cant_be_leaves_nothing(store, url, unfit, number):
    store.submit(new_job(idempotency_key="known"))
    jobs = [new_job() for _ in range(number)]
    jobs[number // 2] = new_job(**unfit)

    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        store.submit_batch(jobs, "")

    assert store.counts() == {State.QUEUED: 1}
    for table, rows in (("batches", 0), ("payloads", 1), ("jobs", 1)):
        assert ask(url, f"SELECT COUNT(*) FROM {table}") == [(rows,)]
    assert store.submit(new_job())[1]


def test_an_empty_batch_is_a_batch(store):
    batch, made = store.submit_batch([], "")

    assert made == []
    assert store.batch(batch.id).counts == {}
    assert store.cancel_batch(batch.id).total == 0


def test_a_batch_counts_its_jobs_by_their_states(store, runner):
    store.submit(new_job())  # is in none
    batch, made = store.submit_batch([new_job(priority=1) for _ in range(6)], "")
    claimed = claim(runner, 4)
    settle(runner, claimed[0].job, State.SUCCEEDED)
    settle(runner, claimed[1].job, State.FAILED)
    store.cancel(made[5])

    counts = {State.SUCCEEDED: 1, State.FAILED: 1, State.RUNNING: 2, State.QUEUED: 1, State.CANCELLED: 1}
    assert store.batch(batch.id).counts == counts
    assert store.batch(batch.id).total == 6

    store.delete(made[0])
    del counts[State.SUCCEEDED]
    assert store.batch(batch.id).counts == counts
    assert store.batch(batch.id).total == 6


def test_a_batch_is_cancelled_whole(store, runner):
    other, _ = store.submit(new_job(priority=-1))
    batch, made = store.submit_batch([new_job() for _ in range(5)], "")
    first, second = claim(runner, 2)
    settle(runner, first.job)

    cancelled = store.cancel_batch(batch.id)

    assert cancelled.counts == {State.SUCCEEDED: 1, State.RUNNING: 1, State.CANCELLED: 3}
    assert runner.step(Step()).cancels == {second.job.id}
    settle(runner, second.job, State.CANCELLED)
    assert store.batch(batch.id).counts == {State.SUCCEEDED: 1, State.CANCELLED: 4}
    assert store.get(other.id).state is State.QUEUED
    assert store.cancel_batch(batch.id) == store.batch(batch.id), "once more does nothing"
    assert store.get(made[0]).state is State.SUCCEEDED
