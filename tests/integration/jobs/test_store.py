"""Jobs as clients have them: submitted, looked at, cancelled, tried again, deleted."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import psycopg
import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Claims, Line, Step
from service.jobs.database import Database, open_database
from service.jobs.model import (
    BatchNotFound,
    JobNotFound,
    KeyReused,
    LogLine,
    NewJob,
    Payload,
    State,
    StoreUnavailable,
    WrongState,
    new_id,
)
from service.jobs.store import Store, open_store
from service.tasks import registry
from tests.e2e.running import ROOT, wait_until
from tests.integration.jobs.actors import TASKS, ask, claim, new_job, settle

NOBODY = new_id()[0]

SUBMIT = """
import sys
from service.jobs.store import open_store
from tests.integration.jobs.actors import new_job
store = open_store(sys.argv[1])
store.counts()
print("ready", flush=True)
input()
job, is_new = store.submit(new_job(idempotency_key="k", fingerprint="f"))
print(job.id, is_new)
"""


def ended(store: Store, runner: Claims, state: State, **given) -> str:
    """Return the id of a job that has come to a state in the usual way."""
    if state is State.EXPIRED:
        job, _ = store.submit(new_job(expires_at=time.time() - 1, **given))
        with store._database.transaction() as tx:
            assert [row["id"] for row in tx.all("expire", now=time.time(), limit=10)] == [job.id]
        return job.id
    job, _ = store.submit(new_job(**given))
    if state in (State.RUNNING, State.SUCCEEDED, State.FAILED):
        (claimed,) = claim(runner)
        if state is not State.RUNNING:
            assert settle(runner, claimed.job, state)
    elif state is State.CANCELLED:
        store.cancel(job.id)
    assert store.get(job.id).state is state
    return job.id


def ids(jobs) -> list[str]:
    return [job.id for job in jobs]


def a_moment_passes() -> None:
    """Let the clock come to a time that is not that of what was submitted, in milliseconds."""
    end = time.time() + 0.005
    wait_until(lambda: time.time() > end, 10, lambda: "the clock stands still")


# Submitting


def test_a_job_is_kept_as_it_was_submitted(store):
    before = time.time()
    content = b'{"n": "\xc3\xa9"}'
    given: dict[str, Any] = {
        "max_attempts": 4,
        "max_crashes": 2,
        "priority": -7,
        "run_at": before + 3600.25,
        "expires_at": before + 7200.5,
        "owner": "somebody",
        "request_id": "r-1",
        "webhook": "https://example.org/hook",
        "parent": NOBODY,
    }

    job, is_new = store.submit(new_job("wait", content, cpu=0, timeout=1.5, **given))

    assert is_new
    assert store.get(job.id) == job
    for name, value in given.items():
        assert getattr(job, name) == value
    assert (job.task, job.cpu, job.timeout, job.state) == ("wait", 0, 1.5, State.QUEUED)
    assert (job.version, job.attempts, job.failures, job.crashes) == (1, 0, 0, 0)
    assert before <= job.created_at <= time.time()
    assert (job.started_at, job.finished_at, job.error, job.progress) == (None, None, None, None)
    assert store.args(job.id) == Payload(JSON, content)
    assert store.result(job.id) is None
    assert store.log(job.id) == []
    assert store.deliveries(job.id) == []


def test_arguments_may_be_any_bytes(store):
    content = bytes(range(256)) * 4096

    job, _ = store.submit(NewJob("add", Payload("application/octet-stream", content), cpu=1, timeout=1))

    assert store.args(job.id) == Payload("application/octet-stream", content)


def test_what_nobody_submitted_is_not_found(store):
    for look in (store.get, store.cancel, store.retry, store.delete, store.deliveries):
        with pytest.raises(JobNotFound, match=NOBODY):
            look(NOBODY)
    for look in (store.batch, store.cancel_batch):
        with pytest.raises(BatchNotFound, match=NOBODY):
            look(NOBODY)
    assert store.args(NOBODY) is None
    assert store.log(NOBODY) == []


def test_a_row_that_the_database_cant_keep_is_no_trouble_of_the_database(store):
    """Who waits for the database to be well again would wait for ever."""
    unfits: list[dict[str, Any]] = [
        {"priority": None},
        {"task": None},
        {"priority": 2**63},
        {"owner": "\ud800"},
    ]
    for unfit in unfits:
        with pytest.raises(Exception) as raised:  # noqa: PT011 - each database has its own
            store.submit(new_job(**unfit))
        assert not isinstance(raised.value, StoreUnavailable)
    assert store.counts() == {}


# Submitting again with the same key


def test_the_same_key_and_the_same_request_make_one_job(store):
    first, is_new = store.submit(new_job(idempotency_key="k", fingerprint="f", content=b"1"))
    again, is_again_new = store.submit(new_job(idempotency_key="k", fingerprint="f", content=b"2"))

    assert (is_new, is_again_new) == (True, False)
    assert again == first
    assert store.counts() == {State.QUEUED: 1}
    args = store.args(first.id)
    assert args is not None
    assert args.content == b"1"


def test_the_same_key_tells_what_became_of_the_job(store, runner):
    job, _ = store.submit(new_job(idempotency_key="k", fingerprint="f"))
    settle(runner, claim(runner)[0].job)

    again, is_new = store.submit(new_job(idempotency_key="k", fingerprint="f"))

    assert (again.id, again.state, is_new) == (job.id, State.SUCCEEDED, False)


def test_the_same_key_with_another_request_is_refused(store):
    job, _ = store.submit(new_job(idempotency_key="k", fingerprint="f"))

    with pytest.raises(KeyReused) as raised:
        store.submit(new_job(idempotency_key="k", fingerprint="g"))

    assert raised.value.job == job.id
    assert store.counts() == {State.QUEUED: 1}


def test_keys_of_different_owners_are_different(store):
    made = [
        store.submit(new_job(owner=owner, idempotency_key="k", fingerprint=owner)) for owner in ("a", "b", "")
    ]

    assert all(is_new for _, is_new in made)
    assert store.counts() == {State.QUEUED: 3}


def test_a_key_is_free_again_when_its_job_is_deleted(store):
    job, _ = store.submit(new_job(idempotency_key="k", fingerprint="f"))
    store.cancel(job.id)
    store.delete(job.id)

    other, is_new = store.submit(new_job(idempotency_key="k", fingerprint="g"))

    assert is_new
    assert other.id != job.id


def test_threads_that_race_with_one_key_make_one_job(store):
    threads = 8
    for number in range(5):
        gate = threading.Barrier(threads)
        job = new_job(idempotency_key=f"k{number}", fingerprint="f")

        def submit(_, gate=gate, job=job):
            gate.wait()
            return store.submit(job)

        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(submit, range(threads)))

        assert len({job.id for job, _ in made}) == 1
        assert Counter(is_new for _, is_new in made) == {True: 1, False: threads - 1}
    assert store.counts() == {State.QUEUED: 5}


def test_processes_that_race_with_one_key_make_one_job(store, url):
    command = [sys.executable, "-c", SUBMIT, url]
    racing = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(4)
    ]
    for process in racing:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in racing:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0].split() for process in racing]

    assert len({job for job, _ in said}) == 1
    assert sorted(is_new for _, is_new in said) == ["False", "False", "False", "True"]
    assert store.counts() == {State.QUEUED: 1}


class Meddled:
    """A database where something is done behind somebody's back, once, before a query."""

    def __init__(self, database: Database, query: str, act: Callable[[], Any]) -> None:
        self.database = database
        self.query = query
        self.acts = [act]

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self.database.transaction() as tx:
            self.tx = tx
            yield self

    def all(self, query: str, **given: Any) -> Any:
        if query == self.query and self.acts:
            self.acts.pop()()
        return self.tx.all(query, **given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)


def test_a_key_whose_job_is_deleted_meanwhile_makes_another(shared_url, postgres):
    """Between finding that the key is known and looking whose it is; with SQLite there is no such time."""
    database = open_database(shared_url)
    store = Store(database)
    first, _ = store.submit(new_job(idempotency_key="k", fingerprint="f"))
    store.cancel(first.id)
    meddled: Any = Meddled(database, "job_of_key", lambda: store.delete(first.id))

    second, is_new = Store(meddled).submit(new_job(idempotency_key="k", fingerprint="g"))

    assert meddled.acts == []
    assert is_new
    assert [job.id for job in store.list()[0]] == [second.id]
    store.delete(store.cancel(second.id).id)
    database.close()


# Batches


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


# Listing


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


# Cancelling, trying again, deleting

ALLOWED = {
    "cancel": {State.QUEUED, State.RUNNING},
    "retry": {State.FAILED, State.CANCELLED, State.EXPIRED},
    "delete": {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED},
}


@pytest.mark.parametrize("what", ALLOWED)
@pytest.mark.parametrize("state", State)
def test_what_can_be_done_depends_on_the_state(store, runner, state, what):
    job = ended(store, runner, state)
    before = store.get(job)
    do = getattr(store, what)

    if state in ALLOWED[what]:
        do(job)
    else:
        with pytest.raises(WrongState) as raised:
            do(job)
        assert (raised.value.job, raised.value.state) == (job, state)
        assert str(state) in str(raised.value)
        assert store.get(job) == before


def test_a_job_that_waits_is_cancelled_at_once(store, runner):
    job = store.submit(new_job())[0]

    cancelled = store.cancel(job.id)

    assert cancelled == store.get(job.id)
    assert (cancelled.state, cancelled.version) == (State.CANCELLED, 2)
    assert cancelled.finished_at is not None
    assert cancelled.finished_at >= job.created_at
    assert claim(runner) == []


def test_a_job_that_runs_is_cancelled_by_its_runner(store, runner, new_runner):
    job = store.submit(new_job())[0]
    (claimed,) = claim(runner)

    asked = [store.cancel(job.id) for _ in range(2)]

    assert asked == [store.get(job.id)] * 2
    assert (asked[0].state, asked[0].cancel_requested) == (State.RUNNING, True)
    assert new_runner().step(Step()).cancels == set()
    assert runner.step(Step()).cancels == {job.id}
    assert settle(runner, claimed.job, State.CANCELLED)
    assert runner.step(Step()).cancels == set()
    cancelled = store.get(job.id)
    assert (cancelled.state, cancelled.cancel_requested) == (State.CANCELLED, False)


def test_a_job_that_is_tried_again_has_all_its_attempts_again(store, runner):
    job = store.submit(new_job(max_attempts=2, max_crashes=1, expires_at=time.time() + 3600))[0]
    error = {"title": "it went wrong"}
    for state, failed, crashed in ((State.QUEUED, 1, 0), (State.QUEUED, 0, 1), (State.FAILED, 1, 0)):
        (claimed,) = claim(runner)
        settle(runner, claimed.job, state, failed=failed, crashed=crashed, error=error, run_at=0)
    failed_job = store.get(job.id)
    assert (failed_job.attempts, failed_job.failures, failed_job.crashes) == (3, 2, 1)

    again = store.retry(job.id)

    assert again == store.get(job.id)
    assert (again.state, again.attempts, again.failures, again.crashes) == (State.QUEUED, 3, 0, 0)
    assert (again.finished_at, again.expires_at, again.progress) == (None, None, None)
    assert again.version == failed_job.version + 1
    (claimed,) = claim(runner)
    assert (claimed.job.id, claimed.job.attempts) == (job.id, 4)
    assert claimed.args == Payload(JSON, b"{}")
    assert settle(runner, claimed.job, result=Payload(JSON, b"2"))
    assert store.result(job.id) == Payload(JSON, b"2")


def test_a_job_is_deleted_with_all_that_belongs_to_it(store, runner, url):
    kept, job = store.submit(new_job())[0], store.submit(new_job(webhook="https://example.org/"))[0]
    for claimed in claim(runner):
        line = Line(claimed.job.id, 1, 1, 1.0, "stdout", "hello")
        runner.step(Step(lines=[line]))
        settle(runner, claimed.job, result=Payload(JSON, b"1"))

    store.delete(job.id)

    with pytest.raises(JobNotFound):
        store.get(job.id)
    for table, column, rows in (("payloads", "job", 2), ("job_log", "job", 1), ("jobs", "id", 1)):
        assert ask(url, f"SELECT {column} FROM {table}") == [(kept.id,)] * rows
    assert ask(url, "SELECT * FROM deliveries") == []


def test_cancelling_never_mistakes_what_it_finds(store, runner, database):
    """A job that goes back and forth between waiting and running can be cancelled at any time."""
    over = threading.Event()

    def run():
        while not over.is_set():
            for claimed in claim(runner):
                settle(runner, claimed.job, State.QUEUED, run_at=0)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            for _ in range(60):
                job = store.submit(new_job())[0]
                for _ in range(3):
                    assert store.get(job.id).state in (State.QUEUED, State.RUNNING)
                assert store.cancel(job.id).id == job.id
        finally:
            over.set()
        running.result()
    for claimed in claim(runner):
        assert claimed.job is None, "all are cancelled"
    assert store.counts() == {State.CANCELLED: 60}


# Removing what is old


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


# What follows the end, in the same transaction


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_message_to_the_webhook_is_there_when_the_job_has_ended(store, runner, state):
    hook = "https://example.org/hook"
    job, _ = store.submit(new_job(webhook=hook))
    (claimed,) = claim(runner)
    assert settle(runner, claimed.job, State.QUEUED, run_at=0)
    assert store.deliveries(job.id) == [], "it has not ended"
    (claimed,) = claim(runner)

    settle(runner, claimed.job, state)

    (delivery,) = store.deliveries(job.id)
    assert (delivery.job, delivery.url, delivery.event) == (job.id, hook, f"job.{state}")
    assert (delivery.state, delivery.attempts, delivery.status) == ("pending", 0, None)
    assert delivery.created_at == pytest.approx(time.time(), abs=10)


def test_whatever_ends_a_job_leaves_a_message(store, runner, database):
    hook = "https://example.org/hook"
    single = store.submit(new_job(webhook=hook))[0].id
    batch, several = store.submit_batch([new_job(webhook=hook)], "")

    store.cancel(single)
    store.cancel_batch(batch.id)

    for job in (single, *several):
        assert [each.event for each in store.deliveries(job)] == ["job.cancelled"]
    store.retry(single)
    (claimed,) = claim(runner)
    settle(runner, claimed.job)
    assert [each.event for each in store.deliveries(single)] == ["job.cancelled", "job.succeeded"]


@pytest.fixture
def adventurer(database) -> Claims:
    registry.load(["tests.integration.jobs.follow_up_tasks"])
    claims = Claims(database, ("adventure", "celebrate", "regret"))
    claims.register()
    return claims


@pytest.mark.parametrize(
    ("state", "follower", "told"),
    [
        (State.SUCCEEDED, "celebrate", {"result": [1, {"a": None}], "error": None}),
        (State.FAILED, "regret", {"result": None, "error": {"title": "lost"}}),
        (State.CANCELLED, None, {}),
        (State.QUEUED, None, {}),
    ],
)
def test_a_follow_up_job_is_there_when_the_job_has_ended(store, adventurer, state, follower, told):
    given: dict[str, Any] = {"priority": 5, "owner": "somebody", "request_id": "r", "batch": None}
    job, _ = store.submit(new_job("adventure", **given))
    (claimed,) = claim(adventurer)

    result = Payload(JSON, b'[1, {"a": null}]') if state is State.SUCCEEDED else None
    error = {"title": "lost"} if state is State.FAILED else None
    assert settle(adventurer, claimed.job, state, result=result, error=error, run_at=time.time() + 60)

    others = [each for each in store.list()[0] if each.id != job.id]
    if follower is None:
        assert others == []
        return
    (follow_up,) = others
    assert (follow_up.task, follow_up.parent, follow_up.state) == (follower, job.id, State.QUEUED)
    assert {name: getattr(follow_up, name) for name in given} == given
    args = store.args(follow_up.id)
    assert args is not None
    expected = {"id": job.id, "task": "adventure", "state": state, "attempts": 1, **told}
    assert json.loads(args.content) == {"job": expected}
    if follower == "celebrate":
        assert (follow_up.cpu, follow_up.timeout, follow_up.max_attempts) == (0, 5, 3)


def test_a_follow_up_is_told_no_bytes(store, adventurer):
    job, _ = store.submit(new_job("adventure"))
    (claimed,) = claim(adventurer)

    settle(adventurer, claimed.job, result=Payload("image/png", b"\x89PNG"))

    (follow_up,) = [each for each in store.list()[0] if each.id != job.id]
    args = store.args(follow_up.id)
    assert args is not None
    assert json.loads(args.content)["job"]["result"] is None


# The log, and hearing of changes


def test_a_log_is_read_in_pieces(store, runner):
    job, _ = store.submit(new_job())
    claim(runner)
    lines = [Line(job.id, 1, seq, seq / 2, "stdout", f"line {seq} é") for seq in range(1, 26)]
    runner.step(Step(lines=lines))

    first = store.log(job.id, limit=10)
    rest = store.log(job.id, after=first[-1].seq)

    assert first + rest == [LogLine(each.seq, 1, each.at, "stdout", each.line) for each in lines]
    assert store.log(job.id, after=25) == []


def test_a_store_is_opened_by_its_address(url):
    store = open_store(url)
    job, _ = store.submit(new_job())
    assert store.get(job.id) == job
    store.close()
