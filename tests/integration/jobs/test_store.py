"""Jobs as clients have them: submitted, looked at, cancelled, tried again, deleted."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Line, Step
from service.jobs.model import (
    BatchNotFound,
    JobNotFound,
    LogLine,
    NewJob,
    Payload,
    State,
    StoreUnavailable,
    WrongState,
    new_id,
)
from service.jobs.store import open_store
from tests.integration.jobs.actors import ask, claim, ended, new_job, settle

NOBODY = new_id()[0]


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
        "skip": True,
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


# The log


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
