"""Programs run as long as a block does, and not longer."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from loadtests import jobs_contenders, jobs_disk, jobs_programs
from loadtests.http_servers import ServerFailed
from loadtests.jobs_programs import started


def test_a_program_and_what_it_has_started_end_with_the_block(tmp_path):
    # The one in the background is nobody's child when its shell has ended.
    with started(("sh", "-c", "sleep 100 & (sleep 100 &) ; exec sleep 100"), tmp_path) as server:
        while len(processes := server.processes()) < 3:
            pass
        assert all(process.is_running() for process in processes)

    assert server.processes() == []


def run_to_its_end(folder, script, **variables):
    with started(("sh", "-c", script), folder, variables) as server:
        while server.status is None:
            pass


def test_a_program_that_ends_by_itself_is_reported_with_its_log(tmp_path):
    with pytest.raises(ServerFailed, match=r"sh ended with 3; .*\ncannot go on"):
        run_to_its_end(tmp_path, "echo cannot go on; exit 3")


def test_what_a_program_is_told_reaches_it(tmp_path):
    with pytest.raises(ServerFailed, match="said: this"):
        run_to_its_end(tmp_path, "echo said: $WORD", WORD="this")


def test_databases_of_a_new_postgresql_are_empty_and_durable():
    with jobs_programs.postgres() as new_database:
        urls = [new_database(), new_database()]
        assert len(set(urls)) == 2
        with psycopg.connect(urls[0]) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchone() == (0,)

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(urls[0])


def test_who_lacks_redis_is_told_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    # One whose library is there, for what is missing is told one after the other.
    peer = jobs_contenders.Peer("json", "json", "JSONEncoder", jobs_contenders.REDIS)

    assert peer.missing() == "Redis is not installed; on Debian and Ubuntu: apt install redis-server"


def test_who_lacks_a_library_is_told_which():
    peer = jobs_contenders.Peer("surely_not_installed", "", "", jobs_contenders.SQLITE)

    assert peer.missing() == "surely_not_installed is not installed"


def test_the_disk_is_known_by_its_kind_and_its_speed():
    disk = jobs_disk.measure(0.1)

    assert disk["kind"]
    assert disk["fsyncs"] > 0
    assert jobs_disk.kind(Path("/proc")) == "proc"
