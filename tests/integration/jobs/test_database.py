"""Transactions on both databases: all or nothing, from many threads and processes, and when none is there."""

import fcntl
import itertools
import os
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from service.errors import ConfigurationError
from service.jobs import migrate
from service.jobs.database import CHANGES, WORK, Connections, open_database
from service.jobs.model import KeyReused, State, StoreUnavailable
from service.jobs.store import Store
from tests.e2e.running import ROOT
from tests.integration.jobs.actors import ask, new_job
from tests.postgres import PostgresServer

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

#: Says when it hears a bell.
LISTEN = """
import select, sys, time
from service.jobs.database import open_database

listener = open_database(sys.argv[1]).listen(sys.argv[2])
poll = select.poll()
poll.register(listener.fileno(), select.POLLIN)
print("ready", flush=True)
for _ in sys.stdin:
    assert poll.poll(20_000)
    heard = time.monotonic()
    listener.hear()
    print(heard, flush=True)
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

#: Submits until the disk is full, says how often it worked, and goes on when there is room.
FULL = """
import resource, sys
from service.jobs.model import StoreUnavailable
from service.jobs.store import open_store
from tests.integration.jobs.actors import new_job

store = open_store(sys.argv[1])
store.submit(new_job())
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))
accepted = [1]
reasons = []
for _ in range(1000):
    try:
        store.submit(new_job(content=bytes(10_000)))
        accepted.append(1)
    except StoreUnavailable as error:
        reasons.append(error.reason)
        if len(reasons) == 5:
            break
print(len(accepted), len(reasons), sum(store.counts().values()), reasons[0], sep="|")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.submit(new_job(content=bytes(10_000)))
print(sum(store.counts().values()))
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script that reads its orders and prints what it finds."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def said(process: subprocess.Popen[str], order: str = "") -> str:
    """Give an order to a script, and return the line that it prints."""
    assert process.stdin
    assert process.stdout
    if order:
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
    line = process.stdout.readline().strip()
    assert line, process.communicate()[1]
    return line


def rings(listener: Any, seconds: float = 0.0) -> bool:
    """Tell whether a bell rings within some time, and take it in."""
    poll = select.poll()
    poll.register(listener.fileno(), select.POLLIN)
    if poll.poll(seconds * 1000):
        listener.hear()
        return True
    return False


def listen_to_the_end(listener: Any) -> None:
    """Listen until nothing more can be heard; the server may say goodbye first."""
    for _ in range(10):
        assert rings(listener, 10)


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


# Databases that can't be used


@pytest.mark.parametrize("place", ["/proc/nowhere/jobs.db", "{tmp}/file/jobs.db", "{tmp}", "{tmp}/text"])
def test_a_file_that_cant_be_used_is_unavailable(tmp_path, place):
    for name in ("file", "text"):
        (tmp_path / name).write_text("this is no database " * 1000)
    database = open_database("sqlite:///" + place.format(tmp=tmp_path))
    store = Store(database)

    for use in (store.counts, lambda: store.submit(new_job()), lambda: migrate.apply(database)):
        with pytest.raises(StoreUnavailable) as raised:
            use()
        assert raised.value.reason
        assert "nowhere" not in str(raised.value), "the reason is for the log"
    database.close()


def test_a_full_disk_refuses_and_loses_nothing(tmp_path):
    process = python(FULL, f"sqlite:///{tmp_path}/jobs.db")
    out, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    first, second = out.splitlines()
    accepted, refused, there, reason = first.split("|")
    assert int(accepted) == int(there) > 1
    assert int(refused) == 5
    assert reason.startswith("OperationalError: disk") or "full" in reason
    assert int(second) == int(there) + 1


def test_a_server_that_is_not_there_is_unavailable_at_once(tmp_path):
    database = open_database(f"postgresql:///jobs?host={tmp_path}")
    began = time.monotonic()

    for use in (database.transaction, database.reading):
        with pytest.raises(StoreUnavailable), use():
            pass
    with pytest.raises(StoreUnavailable):
        database.listen(WORK)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("address", ["", "mysql://localhost/jobs", "sqlite:jobs.db", "/var/jobs.db"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ConfigurationError, match="SERVICE_DATABASE_URL must begin with sqlite:/// or"):
        open_database(address)


@pytest.fixture
def own_server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Start a server that a test may end; where there is none to share, there is none at all."""
    with PostgresServer() as server:
        yield server


def test_a_server_may_go_and_come_back(own_server):
    database = open_database(own_server.new_database())
    migrate.apply(database)
    store = Store(database)
    with ExitStack() as several:
        for _ in range(5):  # so many connections wait to be used again
            several.enter_context(database.reading())
    accepted = [store.submit(new_job())[0].id]
    listener = database.listen(WORK)

    own_server.stop()

    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(StoreUnavailable):
            store.submit(new_job())
        with pytest.raises(StoreUnavailable):
            store.counts()
    assert time.monotonic() - began < 1
    with pytest.raises(StoreUnavailable):
        listen_to_the_end(listener)
    listener.close()

    own_server.start()
    accepted += [store.submit(new_job())[0].id for _ in range(2)]
    with ExitStack() as several:
        for _ in range(5):
            several.enter_context(database.reading())

    # It may also be back before anybody has noticed, and may have crashed.
    own_server.kill()
    own_server.start()
    accepted += [store.submit(new_job())[0].id for _ in range(5)]

    assert [job.id for job in store.list()[0]] == accepted[::-1]
    database.close()


def test_a_server_that_goes_in_the_middle_of_a_transaction_keeps_nothing_of_it(own_server):
    database = open_database(own_server.new_database())
    migrate.apply(database)
    store = Store(database)

    def fail() -> None:
        with database.transaction() as tx:
            tx.all("add_runner", id="r", host="h", pid=1, now=1.0)
            own_server.kill()
            own_server.start()

    with pytest.raises(StoreUnavailable):
        fail()

    with database.reading() as tx:
        assert tx.all("runners") == []
    assert store.counts() == {}
    database.close()


TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'everycore'"


@contextmanager
def cut_at_commit(url: str) -> Iterator[str]:
    """Return an address where connections break when the server has committed, before its answer is there."""
    folder = Path(tempfile.mkdtemp(prefix="cut", dir="/tmp"))
    server = Path(str(conninfo.conninfo_to_dict(url)["host"])) / ".s.PGSQL.5432"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / server.name))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as there:
                there.connect(str(server))
                forward(client, there)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield url.replace(str(server.parent), str(folder))
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        shutil.rmtree(folder)


def forward(client: socket.socket, server: socket.socket) -> None:
    """Carry what is said until one hangs up, or the server has answered a COMMIT."""
    while True:
        for talker in select.select([client, server], [], [])[0]:
            data = talker.recv(65536)
            if not data:
                return
            (server if talker is client else client).sendall(data)
            if talker is client and b"COMMIT" in data:
                assert b"COMMIT" in server.recv(65536)
                return


def test_the_answer_to_a_commit_may_be_lost(shared_url, postgres):
    """Nobody can know then; what is promised is that an error is raised, and that it goes on."""
    with cut_at_commit(shared_url) as address:
        database = open_database(address)
        with pytest.raises(StoreUnavailable), database.transaction() as tx:
            tx.all("add_runner", id="in doubt", host="h", pid=1, now=1.0)
        with database.reading() as tx:
            assert [row["id"] for row in tx.all("runners")] == ["in doubt"]
        database.close()
    ask(shared_url, "DELETE FROM runners")


# Bells


def test_a_bell_rings_when_the_transaction_is_committed(database):
    with closing(database.listen(WORK)) as first, closing(database.listen(WORK)) as second:
        with database.transaction() as tx:
            tx.ring(WORK)
            tx.ring(WORK)
            assert not rings(first)

        assert rings(first, 5)
        assert rings(second, 5)
        assert not rings(first), "it has heard all"


def test_who_listens_to_one_topic_does_not_hear_the_other(database):
    with closing(database.listen(CHANGES)) as listener:
        with database.transaction() as tx:
            tx.ring(WORK)
        assert not rings(listener, 0.05)
        with database.transaction() as tx:
            tx.ring(CHANGES)
        assert rings(listener, 5)


def test_what_clients_do_is_heard(store, database):
    def heard(topic: str, act: Any) -> Any:
        with closing(database.listen(topic)) as listener:
            result = act()
            assert rings(listener, 5)
        return result

    job = heard(WORK, lambda: store.submit(new_job()))[0]
    heard(WORK, lambda: store.submit_batch([new_job()], ""))
    heard(CHANGES, lambda: store.cancel(job.id))
    heard(WORK, lambda: store.retry(job.id))
    heard(WORK, lambda: store.cancel(job.id))
    heard(CHANGES, lambda: store.delete(job.id))


@pytest.mark.parametrize("topic", [WORK, CHANGES])
def test_another_process_hears_within_50_ms(database, url, topic):
    with python(LISTEN, url, topic) as other:
        assert said(other) == "ready"
        delays = []
        for _ in range(9):
            with database.transaction() as tx:
                tx.ring(topic)
                rung = time.monotonic()
            delays.append(float(said(other, "listen")) - rung)
        assert other.stdin
        other.stdin.close()

    assert median(delays) < 0.05, delays


def test_a_listener_hears_when_it_will_hear_no_more(shared_url):
    database = open_database(shared_url)
    with closing(database.listen(WORK)) as listener:
        ask(shared_url, TERMINATE)
        with pytest.raises(StoreUnavailable):
            listen_to_the_end(listener)
    database.close()


@pytest.fixture
def beside(tmp_path) -> Iterator[tuple[Any, Path]]:
    """Return a SQLite database, and the folder of the bells beside it."""
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    yield database, tmp_path / "jobs.db-bells" / WORK
    database.close()


def ring(database: Any) -> None:
    with database.transaction() as tx:
        tx.ring(WORK)


def test_the_bell_of_a_dead_process_is_taken_down(beside):
    database, folder = beside
    with closing(database.listen(WORK)) as listener:
        mine = set(folder.iterdir())
        with python(LISTEN, f"sqlite:///{folder.parents[1]}/jobs.db", WORK) as other:
            assert said(other) == "ready"
            assert len(set(folder.iterdir())) == 2
            other.kill()

        ring(database)

        assert set(folder.iterdir()) == mine
        assert rings(listener)
    assert list(folder.iterdir()) == []


def test_the_bell_of_a_process_that_is_not_seen_from_here_stays(beside):
    """Containers that share a file have numbers of processes of their own."""
    database, folder = beside
    with closing(database.listen(WORK)) as listener:
        (bell,) = folder.iterdir()
        bell = bell.rename(folder / "4194305-00000000")  # a greater number than a process can have

        ring(database)

        assert rings(listener)
        assert list(folder.iterdir()) == [bell]
        bell.unlink()


def test_what_can_not_be_rung_for_another_reason_stays(beside):
    database, folder = beside
    folder.mkdir(parents=True)
    loop = folder / "1-00000000"
    loop.symlink_to(loop)

    ring(database)

    assert loop.is_symlink()


def test_a_bell_that_nobody_hears_for_long_does_not_hold_anybody_up(beside):
    database, _ = beside
    with closing(database.listen(WORK)) as listener:
        fcntl.fcntl(listener.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        while os.write(listener.fileno(), bytes(4096)) == 0:
            pass

        ring(database)

        assert rings(listener)
        assert not rings(listener)


def test_bells_that_cant_be_rung_do_not_undo_what_is_committed(beside):
    database, folder = beside
    migrate.apply(database)
    folder.parent.mkdir()
    folder.write_text("not a folder")

    job, _ = Store(database).submit(new_job())

    assert Store(database).get(job.id) == job
