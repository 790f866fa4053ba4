"""Transactions on both databases: all or nothing, from many threads and processes."""

import fcntl
import itertools
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

import psycopg
import pytest
from psycopg import conninfo

from service.jobs import migrate
from service.jobs.database import WORK, Connections, open_database
from service.jobs.model import KeyReused, State, StoreUnavailable
from service.jobs.store import Store
from tests.integration.jobs.actors import ask, new_job, python, rings, said

#: Submits from 16 threads.
MANY_THREADS = """
import sys, threading
from service.jobs.store import open_store
from tests.integration.jobs.actors import new_job

store = open_store(sys.argv[1])
failed = []

def submit():
    try:
        for _ in range(int(sys.argv[2])):
            store.submit(new_job())
    except BaseException as error:
        failed.append(getattr(error, "reason", repr(error)))

threads = [threading.Thread(target=submit) for _ in range(16)]
print("ready", flush=True)
input()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""

#: Uses a store before and after a fork, in the parent and, from some threads at once, in the child.
FORK = """
import gc, os, sys, threading
from service.jobs.store import open_store
from tests.integration.jobs.actors import new_job

path = sys.argv[1].removeprefix("sqlite:///")

def connections():
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the one of the folder
        if link in (path, f"{path}-wal") or link.startswith("socket:"):
            found[fd] = link
    return found

def submit():
    for _ in range(20):
        job = store.submit(new_job())[0]
        assert store.get(job.id) == job

store = open_store(sys.argv[1])
submit()
before = connections()
assert before
for fd in before:
    os.set_inheritable(int(fd), True)  # a mark: others that get the number don't have it
child = os.fork()
threads = [threading.Thread(target=submit) for _ in range(1 if child else 4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if not child:
    own = len(connections()) - len(before)
    store.close()
    gc.collect()
    kept = all(connections().get(fd) == link and os.get_inheritable(int(fd)) for fd, link in before.items())
    print("own:", own > 0, "kept those of the parent:", kept, flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
submit()
store.close()
sys.exit(status)
"""


#: Writes from two threads all the time.
BUSY = """
import sys, threading
from service.jobs.claims import Claims
from service.jobs.database import open_database

claims = Claims(open_database(sys.argv[1]), ())
claims.register()
over = threading.Event()

def beat():
    while not over.is_set():
        claims.beat()

threads = [threading.Thread(target=beat) for _ in range(2)]
for thread in threads:
    thread.start()
print("ready", flush=True)
sys.stdin.read()
over.set()
"""


# All or nothing


class Interrupted(BaseException):
    """Comes from outside."""


@pytest.mark.parametrize("error", [ValueError, KeyReused, Interrupted, StoreUnavailable])
def test_a_transaction_that_is_left_by_an_error_leaves_nothing(database, store, error):
    def fail() -> None:
        with database.transaction() as tx:
            tx.all("add_runner", id="r", host="h", pid=1, now=1.0)
            tx.ring(WORK)
            raise error("x")

    with closing(database.listen(WORK)) as listener:
        with pytest.raises(error):
            fail()

        assert not rings(listener)
    with database.transaction() as tx:
        assert tx.all("runners") == []


def test_a_statement_that_is_refused_leaves_the_connection_usable(database):
    for _ in range(20):  # more often than there are connections
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)), database.transaction() as tx:
            tx.all("add_runner", id="r", host=None, pid=1, now=1.0)
    with database.transaction() as tx:
        assert tx.all("runners") == []


def test_who_reads_does_not_wait_for_who_writes(store, database):
    job, _ = store.submit(new_job())

    with database.transaction() as tx, ThreadPoolExecutor(1) as pool:
        tx.all("cancel_queued", id=job.id, now=1.0)
        seen = pool.submit(store.get, job.id).result(timeout=2)

    assert seen.state is State.QUEUED
    assert store.get(job.id).state is State.CANCELLED


def test_what_is_committed_is_on_the_disk(url, dialect, postgres):
    if dialect == "sqlite":
        with closing(open_database(url)._connect()) as connection:  # type: ignore[attr-defined]
            assert connection.execute("PRAGMA synchronous").fetchone() == {"synchronous": 2}
            assert connection.execute("PRAGMA journal_mode").fetchone() == {"journal_mode": "wal"}
        return
    # Whatever an administrator has said.
    name = conninfo.conninfo_to_dict(url)["dbname"]
    ask(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with closing(open_database(url)._connect()) as connection:  # type: ignore[attr-defined]
        assert connection.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": "on"}
    ask(url, f"ALTER DATABASE {name} RESET synchronous_commit")


def test_nobody_waits_for_ever_for_who_was_halted(shared_url):
    with closing(open_database(shared_url)._connect()) as connection:  # type: ignore[attr-defined]
        for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
            shown = connection.execute(f"SHOW {setting}").fetchone()
            assert 1 <= int(shown[setting].removesuffix("s")) < 15, "less than a lease"


# Many at once


def test_many_threads_of_some_processes_all_have_their_turn(store, url, dialect):
    times = {"sqlite": 50, "postgresql": 15}[dialect]
    processes = [python(MANY_THREADS, url, str(times)) for _ in range(3)]
    for process in processes:
        assert said(process) == "ready"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()

    assert [process.communicate(timeout=50) for process in processes] == [("[]\n", "")] * 3
    assert store.counts() == {State.QUEUED: 3 * 16 * times}


def test_who_writes_all_the_time_leaves_others_their_turn(tmp_path):
    """Two processes take turns; left to SQLite, one of them would write hundreds of times in a row."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = open_database(url)
    migrate.apply(database)
    store = Store(database)

    def beats() -> int:
        with database.reading() as tx:
            return int(tx.all("runners")[0]["beat"])

    between = []
    with python(BUSY, url) as busy:
        assert said(busy) == "ready"
        for _ in range(60):
            before = beats()
            store.submit(new_job())
            between.append(beats() - before)
        assert busy.stdin
        busy.stdin.close()
    database.close()

    assert 1 <= median(between) <= 3, between


def test_who_is_halted_at_the_gate_does_not_keep_others_out(tmp_path):
    """Whoever stands there might be stopped by a debugger."""
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    migrate.apply(database)
    store = Store(database)
    with Path(f"{tmp_path}/jobs.db-gate").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        began = time.monotonic()
        store.submit(new_job())
        assert time.monotonic() - began < 4
    database.close()


def test_what_was_connected_before_a_fork_is_left_alone(store, url):
    process = python(FORK, url)
    out, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert out == "own: True kept those of the parent: True\n"
    assert errors == ""
    assert store.counts() == {State.QUEUED: 20 + 20 + 4 * 20 + 20}


def test_connections_are_used_again_and_no_more_than_allowed():
    numbers = itertools.count()
    closed: list[int] = []
    connections = Connections(lambda: next(numbers), closed.append, most=2, patience=0.01)
    good = lambda _: True  # noqa: E731
    for _ in range(3):
        with connections.use(good) as first, connections.use(good) as second:
            assert {first, second} == {0, 1}
            with pytest.raises(StoreUnavailable) as raised, connections.use(good):
                pass
            assert raised.value.reason == "every connection was in use for 0.01 s"

    with connections.use(lambda connection: connection == 2) as third:
        assert third == 2
    assert sorted(closed) == [0, 1]
    with connections.use(good) as again:
        assert again == 2
    connections.close()
    assert sorted(closed) == [0, 1, 2]


def test_a_place_is_free_again_after_a_connection_that_failed():
    def fail() -> None:
        raise StoreUnavailable("away")

    connections = Connections(fail, lambda _: None, most=1, patience=0.01)
    for _ in range(3):
        with pytest.raises(StoreUnavailable) as raised, connections.use(lambda _: True):
            pass
        assert raised.value.reason == "away"
