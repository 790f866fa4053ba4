"""Which jobs there are, a page at a time."""

import time
from itertools import combinations

import pytest

from service.jobs.model import State
from tests.e2e.running import wait_until
from tests.integration.jobs.actors import TASKS, claim, ended, ids, new_job


def a_moment_passes() -> None:
    """Let the clock come to a time that is not that of what was submitted, in milliseconds."""
    end = time.time() + 0.005
    wait_until(lambda: time.time() > end, 10, lambda: "the clock stands still")


@pytest.fixture
def various(store, runner) -> list[str]:
    """Jobs of every state, of two tasks, with and without a batch; the ids in order of submission."""
    made = [ended(store, runner, state, task=task) for state in State if state.is_final for task in TASKS]
    a_moment_passes()
    _, several = store.submit_batch([new_job(task) for task in TASKS * 2], "")
    made += several
    for claimed in claim(runner, 2):
        assert claimed.job.id in several
    made += [store.submit(new_job(task))[0].id for task in TASKS]
    return made


def test_jobs_are_listed_by_what_is_asked_for(store, various):
    every = {job: store.get(job) for job in various}
    (batch,) = {job.batch for job in every.values()} - {None}
    middle = (every[various[7]].created_at + every[various[8]].created_at) / 2
    filters = {
        "task": ("add", lambda job: job.task == "add"),
        "batch": (batch, lambda job: job.batch == batch),
        "since": (middle, lambda job: job.created_at >= middle),
        "until": (middle, lambda job: job.created_at < middle),
        "states": ((State.FAILED,), lambda job: job.state is State.FAILED),
    }
    several_states = (
        (State.QUEUED, State.RUNNING),
        (State.CANCELLED, State.EXPIRED, State.SUCCEEDED),
        tuple(State),
    )

    def check(given, fits):
        expected = [job for job in reversed(various) if all(fit(every[job]) for fit in fits)]
        assert ids(store.list(**given)[0]) == expected, given

    for number in range(len(filters) + 1):
        for chosen in combinations(filters, number):
            check({name: filters[name][0] for name in chosen}, [filters[name][1] for name in chosen])
    for states in several_states:
        fits = lambda job, states=states: job.state in states  # noqa: E731
        check({"states": states}, [fits])
        check({"states": states, "task": "wait"}, [fits, lambda job: job.task == "wait"])
        check({"states": states, "batch": batch}, [fits, lambda job: job.batch == batch])
    assert store.list(task="none") == ([], None)


@pytest.mark.parametrize("given", [{}, {"task": "add"}, {"states": (State.QUEUED, State.RUNNING)}])
def test_pages_have_every_job_once_while_others_come(store, runner, given):
    before = [store.submit(new_job())[0].id for _ in range(25)]
    claim(runner, 5)

    pages, cursor = [], None
    while True:
        jobs, cursor = store.list(before=cursor, limit=4, **given)
        pages.append(ids(jobs))
        store.submit_batch([new_job() for _ in range(3)], "")
        if cursor is None:
            break

    assert [len(page) for page in pages] == [4] * 6 + [1]
    assert [job for page in pages for job in page] == before[::-1]


def test_the_last_page_says_that_it_is_the_last(store):
    for _ in range(4):
        store.submit(new_job())

    first, cursor = store.list(limit=2)
    second, end = store.list(limit=2, before=cursor)

    assert (len(first), len(second), end) == (2, 2, None)
    assert store.list(limit=4)[1] is None


def test_times_are_those_of_submission_to_the_millisecond(store):
    first = store.submit(new_job())[0]
    a_moment_passes()
    second = store.submit(new_job())[0]
    between = (first.created_at + second.created_at) / 2

    assert ids(store.list(since=between)[0]) == [second.id]
    assert ids(store.list(until=between)[0]) == [first.id]
    assert ids(store.list(since=first.created_at, until=second.created_at + 0.001)[0]) == [
        second.id,
        first.id,
    ]
    assert store.list(since=1e18) == store.list(until=-1e18) == ([], None)


def test_a_cursor_and_a_time_hold_both(store):
    made = [store.submit(new_job())[0].id for _ in range(4)]

    assert ids(store.list(before=made[2], until=time.time() + 60)[0]) == [made[1], made[0]]
    assert ids(store.list(before=made[2], until=0)[0]) == []
