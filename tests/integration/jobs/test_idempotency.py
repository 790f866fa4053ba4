"""A job that is submitted more than once with one key."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from service.jobs.database import Database, open_database
from service.jobs.model import KeyReused, State
from service.jobs.store import Store
from tests.integration.jobs.actors import at_once, claim, new_job, settle

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
    said = at_once(SUBMIT, url, count=4)

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
