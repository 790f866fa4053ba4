"""What is measured of a job queue is what it does; one that does nothing, or wrong, is no measurement."""

from __future__ import annotations

import contextlib
import time

import pytest

from loadtests import jobs_measures
from loadtests.jobs_plan import Plan
from loadtests.jobs_queue import JobsFailed, Queue


class Steady(Queue):
    """Ends jobs at an even rate while workers run, in steps of ten."""

    def __init__(self, rate=1000.0, *, wrong=False):
        self.rate = rate
        self.wrong = wrong
        self.submitted = 0
        self.earlier = 0
        self.begun = float("inf")

    def enqueue(self, task):
        self.submitted += 1
        return time.time()

    @contextlib.contextmanager
    def workers(self):
        self.begun = time.perf_counter()
        yield

    def finished(self):
        done = int(max(0.0, time.perf_counter() - self.begun) * self.rate)
        return min(self.submitted, self.earlier + done - done % 10)

    def check(self):
        if self.wrong:
            raise JobsFailed("a job has failed")

    def moments(self, job):
        return {"start": job + 0.5}


@pytest.mark.parametrize(
    ("looks", "rate"),
    [([(5.0, 10), (7.0, 110)], 50.0), ([(5.0, 10), (6.0, 100), (7.0, 310)], 150.0)],
)
def test_a_rate_is_from_the_first_look_to_the_last(looks, rate):
    assert jobs_measures.rate(looks) == rate


def test_jobs_that_all_end_at_once_tell_nothing():
    with pytest.raises(JobsFailed, match="too few"):
        jobs_measures.rate([(5.0, 10)])


def test_a_backlog_is_watched_until_all_jobs_have_ended():
    queue = Steady(rate=1000)

    figures = jobs_measures.backlog(queue, Plan(jobs=500, watch=20))

    assert queue.submitted == 500
    assert figures["completed"] == [pytest.approx(1000, rel=0.3)]


def test_jobs_of_an_earlier_backlog_do_not_count():
    queue = Steady(rate=1000)
    queue.submitted, queue.earlier = 200, 200

    figures = jobs_measures.backlog(queue, Plan(jobs=300, watch=20))

    assert figures["completed"] == [pytest.approx(1000, rel=0.3)]


def test_who_needs_longer_leaves_a_rest():
    begun = time.perf_counter()

    figures = jobs_measures.backlog(Steady(rate=100), Plan(jobs=5000, watch=0.5))

    assert figures["completed"] == [pytest.approx(100, rel=0.3)]
    assert time.perf_counter() - begun < 10


def test_a_queue_that_does_nothing_is_given_up():
    with pytest.raises(JobsFailed, match=r"in 0\.1 s"):
        jobs_measures.watch(lambda: 0, 10, seconds=5, patience=0.1)


def test_jobs_that_fail_are_no_measurement():
    with pytest.raises(JobsFailed, match="has failed"):
        jobs_measures.backlog(Steady(wrong=True), Plan(jobs=200, watch=20))


def test_one_by_one_counts_what_was_submitted():
    queue = Steady()

    (rate,) = jobs_measures.one_by_one(queue, Plan(seconds=0.2))["one_by_one"]

    # The first one makes the connection.
    assert rate == pytest.approx((queue.submitted - 1) / 0.2, rel=0.2)


def test_every_job_at_low_load_has_its_times():
    figures = jobs_measures.low_load(Steady(), Plan(single_jobs=5, gap=0.01))

    assert {key: len(values) for key, values in figures.items()} == {"accept": 5, "start": 5, "done": 5}


def test_jobs_at_low_load_come_at_even_distances():
    begun = time.perf_counter()

    jobs_measures.low_load(Steady(), Plan(single_jobs=5, gap=0.05))

    assert time.perf_counter() - begun >= 0.25


def test_times_are_milliseconds_from_the_acceptance():
    times = jobs_measures.single(Steady())

    assert times["start"] == pytest.approx(500, abs=50)
    assert 0 <= times["accept"] < 50
    assert 0 <= times["done"] < 50
