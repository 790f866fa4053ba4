"""Databases that can't be used, and that come back."""

import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from psycopg import conninfo

from service.errors import ConfigurationError
from service.jobs import migrate
from service.jobs.database import WORK, open_database
from service.jobs.model import StoreUnavailable
from service.jobs.store import Store
from tests.integration.jobs.actors import ask, listen_to_the_end, new_job, python
from tests.postgres import PostgresServer

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
