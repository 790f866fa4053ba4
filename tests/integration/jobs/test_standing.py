"""How the store stands, on both databases: what the gauges of jobs are made of."""

import time

import pytest

from service.jobs.census import Census
from service.jobs.database import open_database
from service.jobs.model import State
from service.jobs.store import Store
from service.telemetry.metrics.jobs import Standing
from tests.e2e.running import wait_until
from tests.integration.jobs.actors import ask, claim, ended, new_job, settle, take_over

LEASE = 15.0


def test_an_empty_store_has_nothing(store: Store):
    assert store.standing(LEASE) == Standing(0, 0, 0.0)
    assert store.waiting() == (0, 0)


def test_jobs_are_counted_by_where_they_stand(store, runner):
    for state in State:
        if state is not State.QUEUED:
            ended(store, runner, state)
    store.submit_batch([new_job() for _ in range(5)], "")
    store.submit_batch([new_job(run_at=time.time() + 60) for _ in range(3)], "")

    assert store.waiting() == (5, 3)
    assert store.standing(LEASE).running == 1


def test_one_whose_time_has_come_is_due_though_no_runner_has_made_it_ready(store, url):
    job, _ = store.submit(new_job(run_at=time.time() + 60))
    assert store.waiting() == (0, 1)
    ask(url, "UPDATE jobs SET run_at = run_at - 100 WHERE id = ?", [job.id])

    assert store.waiting() == (1, 0)
    assert 30 < store.standing(LEASE).oldest < 60


def test_the_oldest_is_the_one_that_has_been_due_longest(store, runner, url):
    """Not the first that was submitted, which was for later, and not one that is claimed first."""
    store.submit(new_job(priority=5))
    job, _ = store.submit(new_job(priority=-5))
    ask(url, "UPDATE jobs SET run_at = run_at - 100 WHERE id = ?", [job.id])

    assert 100 <= store.standing(LEASE).oldest < 110
    assert [found.job.id for found in claim(runner, 1)] != [job.id]
    assert 100 <= store.standing(LEASE).oldest < 110
    (claimed,) = claim(runner)
    assert claimed.job.id == job.id
    assert store.standing(LEASE).oldest == 0.0


def test_one_that_is_tried_again_later_is_due_later(store, runner):
    store.submit(new_job())
    (claimed,) = claim(runner)
    settle(runner, claimed.job, State.QUEUED, run_at=time.time() + 60, failed=1)

    assert store.waiting() == (0, 1)
    assert store.standing(LEASE).oldest == 0.0


def test_runners_are_those_that_beat_within_a_lease(store, new_runner, url, database):
    first, second = new_runner(), new_runner()
    assert store.standing(LEASE).runners == 2

    ask(url, "UPDATE runners SET beat_at = beat_at - 100 WHERE id = ?", [second.runner])
    assert store.standing(LEASE).runners == 1

    second.beat()
    assert store.standing(LEASE).runners == 2
    first.leave()
    take_over(second, database)
    assert store.standing(LEASE).runners == 0


def test_a_runner_of_an_earlier_version_counts(store, runner, url):
    ask(url, "UPDATE runners SET beat_at = NULL")

    assert store.standing(LEASE).runners == 1


def test_a_census_of_a_store_that_can_not_be_reached_says_so_at_once(tmp_path):
    (tmp_path / "file").touch()
    for url in (f"sqlite:///{tmp_path}/file/jobs.db", "postgresql://user@127.0.0.1:1/none"):
        began = time.monotonic()

        assert Census(Store(open_database(url)), LEASE).figures() is None
        assert time.monotonic() - began < 2


def assert_one_waits(found: Standing | None) -> None:
    assert found is not None
    assert (found.running, found.queued, found.scheduled) == (0, 1, 0)
    assert found.oldest < 10


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_database_that_hangs_is_not_waited_for(store, database, url):
    """Somebody has a lock on the whole table, so that even a look at it has to wait."""
    store.submit(new_job())
    census = Census(store, LEASE, fresh=0.0)
    assert_one_waits(census.figures())

    census._look_at = 0.0

    with database.transaction() as tx:
        tx.script("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        found = [census.figures() for _ in range(3)]
        took = time.monotonic() - began

    assert found == [None] * 3
    assert took < 2
    wait_until(lambda: not census._is_looking, 10, str)
    assert_one_waits(census.figures())
