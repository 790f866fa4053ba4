"""The PostgreSQL server that tests use keeps what it promises them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.e2e.running import ROOT, is_gone, wait_until
from tests.postgres import PostgresServer, find_programs

OWNER = """
from tests.postgres import PostgresServer
server = PostgresServer()
print(server.folder, flush=True)
server.start()
print(server.pid, flush=True)
input()
"""


@pytest.fixture
def own_server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Start a server that a test may end; where there is none to share, there is none at all."""
    with PostgresServer() as server:
        yield server


def value(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
    assert row
    return row[0]


def processes(server: PostgresServer) -> list[psutil.Process]:
    postmaster = psutil.Process(server.pid)
    return [postmaster, *postmaster.children(recursive=True)]


def test_each_database_is_another(postgres):
    first, second = postgres.new_database(), postgres.new_database()

    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE t (n int)")

    assert first != second
    assert value(first, "SELECT to_regclass('t')") == "t"
    assert value(second, "SELECT to_regclass('t')") is None


def test_a_database_can_be_dropped_while_somebody_uses_it(postgres):
    url = postgres.new_database()

    with psycopg.connect(url, autocommit=True) as connection:
        postgres.drop_database(url)
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("max_connections", "200"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
    ],
)
def test_it_is_set_as_promised(postgres, name, setting):
    assert value(postgres.url("postgres"), f"SELECT current_setting('{name}')") == setting


def test_after_a_crash_it_has_what_was_committed_and_nothing_else(own_server):
    url = own_server.new_database()
    before = processes(own_server)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (2)")

        own_server.kill()

        assert all(map(is_gone, before))
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    own_server.start()

    assert value(url, "SELECT array_agg(n) FROM t") == [1]
    assert "automatic recovery in progress" in own_server.log.read_text()


def test_it_can_be_stopped_and_started_again(own_server):
    url = own_server.new_database()
    before = processes(own_server)

    with psycopg.connect(url):  # a client that stays does not hold it up
        own_server.stop()
    own_server.stop()

    assert all(map(is_gone, before))
    own_server.start()
    assert value(url, "SELECT 1") == 1
    assert "automatic recovery in progress" not in own_server.log.read_text()


def test_nothing_is_left_of_it(postgres):
    with PostgresServer() as server:
        before = processes(server)

    assert all(map(is_gone, before))
    assert not server.folder.exists()


def test_it_ends_with_a_killed_owner(postgres):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        folder = Path(owner.stdout.readline().strip())
        try:
            postmaster = psutil.Process(int(owner.stdout.readline()))
            owner.kill()
            wait_until(lambda: is_gone(postmaster), 10, lambda: f"left: {postmaster}")
        finally:
            owner.kill()
            shutil.rmtree(folder)


def test_without_one_in_the_path_the_newest_version_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs(tmp_path) is None

    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()

    assert find_programs(tmp_path) == tmp_path / "17" / "bin"
