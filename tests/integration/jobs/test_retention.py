"""What is old is removed, in small steps."""

import time

import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Line, Step
from service.jobs.model import BatchNotFound, Payload, State
from tests.integration.jobs.actors import ask, claim, ended, ids, new_job, settle


def test_old_jobs_are_removed_in_small_steps_with_all_that_belongs_to_them(store, runner, url):
    batch, _ = store.submit_batch([new_job(webhook="https://example.org/") for _ in range(25)], "")
    for claimed in claim(runner, 23):
        runner.step(Step(lines=[Line(claimed.job.id, 1, 1, 1.0, "stdout", "hello")]))
        settle(runner, claimed.job, result=Payload(JSON, b"1"))
    claim(runner, 1)
    young = ended(store, runner, State.CANCELLED, priority=1)
    ask(url, "UPDATE jobs SET finished_at = 1000 WHERE finished_at IS NOT NULL AND id <> ?", [young])

    steps = [store.purge(2000.0, limit=10) for _ in range(4)]

    assert steps == [10, 10, 3, 0]
    assert store.counts() == {State.QUEUED: 1, State.RUNNING: 1, State.CANCELLED: 1}
    assert ask(url, "SELECT COUNT(*) FROM payloads") == [(3,)]
    assert ask(url, "SELECT COUNT(*) FROM job_log") == [(0,)]
    assert ask(url, "SELECT COUNT(*) FROM deliveries") == [(0,)]
    assert store.batch(batch.id).counts == {State.QUEUED: 1, State.RUNNING: 1}
    assert store.purge(time.time() + 1) == 1


def test_old_jobs_of_some_states_are_removed(store, runner):
    made = {state: ended(store, runner, state) for state in State if state.is_final}
    later = time.time() + 60
    some = (State.FAILED, State.EXPIRED)

    assert [store.count_ended(later, states) for states in ((), some, (State.QUEUED,))] == [4, 2, 0]
    assert [store.count_ended(0.0, states) for states in ((), some)] == [0, 0]
    assert [store.purge(later, 10, states) for states in (some, some)] == [2, 0]
    assert set(ids(store.list()[0])) == {job for state, job in made.items() if state not in some}


def test_a_batch_is_removed_after_its_last_job(store, runner):
    batch, made = store.submit_batch([new_job(), new_job()], "")
    other, _ = store.submit_batch([new_job()], "")
    store.cancel(made[0])
    later = time.time() + 60

    assert store.purge(later) == 1
    assert store.batch(batch.id).counts == {State.QUEUED: 1}
    store.cancel(made[1])
    assert store.purge(0.0) == 0
    assert store.batch(batch.id).counts == {State.CANCELLED: 1}
    assert store.purge(later) == 1

    with pytest.raises(BatchNotFound):
        store.batch(batch.id)
    assert store.batch(other.id).counts == {State.QUEUED: 1}
