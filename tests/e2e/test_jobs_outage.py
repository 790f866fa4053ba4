"""The database goes away, dies or can't write: nothing is lost, and work goes on by itself."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.jobs.model import StoreUnavailable
from tests.e2e.jobs_clients import Clients
from tests.e2e.jobs_halting import AFTER, BEFORE, LOSE
from tests.e2e.jobs_place import DATABASES, Place, on_server, opened
from tests.e2e.jobs_small_disk import SmallDisk, on_small_disk
from tests.e2e.jobs_tasks import END
from tests.e2e.running import is_gone, wait_until
from tests.postgres import MISSING, PostgresServer, find_programs

#: A lease that outlasts every outage here.
LASTING = {"SERVICE_JOB_LEASE": "30"}


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request, tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be killed; ``postgres`` sees to what is to happen when there is none."""
    assert find_programs(), MISSING
    with PostgresServer() as server:
        yield server


@pytest.fixture
def on_own_server(server: PostgresServer, tmp_path: Path) -> Iterator[Place]:
    with on_server(server, tmp_path) as place:
        yield place


def assert_refused_at_once(place: Place) -> str:
    """Submit a job, and return the reason why that could not be."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        place.submit_one(place.new_job("compute", -1), -1)
    assert time.monotonic() - began < 1
    return refused.value.reason


def has_ended(place: Place, number: int) -> bool:
    return any((line.number, line.what) == (number, END) for line in place.lines())


def let_go(place: Place) -> None:
    """Let the jobs that wait for a file end."""
    Path(f"{place.trace}.go").touch()


class TestALostAnswer:
    """A commit succeeds, and the runner hears that the database is away."""

    @pytest.mark.parametrize(
        ("query", "again"),
        [
            # Nobody runs what was claimed then: it is given back.
            pytest.param("claim", {0}, id="to-a-claim"),
            pytest.param("add_log", (), id="to-lines"),
            pytest.param("add_result", (), id="to-a-result"),
        ],
    )
    def test_is_made_up_for(self, place, tmp_path, query, again):
        mark = tmp_path / "mark"
        runner = place.start_runner("tests.e2e.jobs_halting", LOSE, query, "1", str(mark))

        place.submit("pause", [0], seconds=0.5)
        wait_until(mark.exists, 20, place.logs)
        place.wait_until_all_ended()
        place.submit("compute", [1])
        place.wait_until_all_ended()

        place.assert_all_done(again={place.jobs[number] for number in again}, crashed=False)
        assert runner.parent.poll() is None


class TestPostgres:
    def test_that_is_stopped_for_a_while(self, on_own_server, server):
        place = on_own_server
        place.start_runner(**LASTING)
        place.submit("wait_for_file", [0])
        place.submit("pause", range(1, 5), seconds=0.1)
        place.submit("compute", range(100, 600), seconds=0.001)
        place.wait_for_start(0)

        server.stop()
        assert_refused_at_once(place)
        let_go(place)
        wait_until(lambda: has_ended(place, 0), 20, place.logs)
        server.start()
        place.submit("compute", range(600, 700))

        place.wait_until_all_ended()
        self._assert_done_without_a_crash(place)
        assert place.store.get(place.jobs[0]).attempts == 1

    @pytest.mark.parametrize(
        ("when", "query", "nth"),
        [
            pytest.param(AFTER, "claim", 3, id="after-a-claim"),
            pytest.param(BEFORE, "add_result", 3, id="before-a-result-is-committed"),
            pytest.param(AFTER, "add_result", 3, id="after-a-result"),
        ],
    )
    def test_that_is_killed_at_a_commit(self, on_own_server, server, tmp_path, when, query, nth):
        place, mark = on_own_server, tmp_path / "mark"
        place.start_runner("tests.e2e.jobs_halting", when, query, str(nth), str(mark), **LASTING)
        place.submit("pause", range(10), seconds=0.1)
        place.submit("compute", range(100, 1100), seconds=0.001)

        wait_until(mark.exists, 20, place.logs)
        server.kill()
        mark.unlink()
        server.start()

        place.wait_until_all_ended()
        self._assert_done_without_a_crash(place)

    def test_that_is_killed_while_jobs_are_submitted_over_http(self, on_own_server, server):
        place = on_own_server
        service = place.serve(SERVICE_WEB_WORKERS="2", **LASTING)
        with Clients(lambda: service.url) as clients:
            clients.submit("compute", range(500), path=str(place.trace))
            for accepted in (100, 300):
                clients.wait_until_accepted(accepted)
                server.kill()
                began = time.monotonic()
                answer = clients.post({"task": "compute", "args": {"path": "", "number": 0}}, key="another")
                assert (answer.status_code, time.monotonic() - began < 1) == (503, True)
                assert answer.headers["Content-Type"] == "application/problem+json"
                server.start()

        place.jobs = clients.accepted
        assert len(place.jobs) == 500
        place.wait_until_all_ended()
        self._assert_done_without_a_crash(place)

    def test_that_is_away_for_longer_than_a_lease(self, on_own_server, server):
        """Runners stop their jobs, for they can't know whether others have them; then nobody is gone."""
        place = on_own_server
        for _ in range(2):
            place.start_runner()
        place.submit("wait_for_file", range(2))
        processes = [psutil.Process(place.wait_for_start(number).pid) for number in range(2)]

        server.stop()
        wait_until(lambda: all(map(is_gone, processes)), 10, place.logs)
        let_go(place)
        server.start()

        place.wait_until_all_ended()
        place.assert_all_done(again=set(place.jobs.values()), crashed=False)
        assert "a runner is gone" not in place.logs()

    def _assert_done_without_a_crash(self, place: Place) -> None:
        place.assert_each_succeeded_once()
        for job in place.found().values():
            # What was claimed by a commit whose answer was lost is given back, and claimed again.
            assert (job.crashes, job.failures, job.attempts in (1, 2)) == (0, 0, True)


class TestSqlite:
    def test_on_a_disk_that_is_full(self, tmp_path):
        def body(disk: SmallDisk) -> None:
            with contextlib.closing(Place(tmp_path, f"sqlite:///{disk.folder}/jobs.db")) as place:
                self._see(place, disk)

        on_small_disk(tmp_path / "disk", "4m", body)

    def _see(self, place: Place, disk: SmallDisk) -> None:
        service = place.serve(SERVICE_WEB_WORKERS="1", **LASTING)
        place.submit("wait_for_file", [0])
        place.wait_for_start(0)

        disk.fill()
        number = self._submit_until_refused(place)
        assert "full" in assert_refused_at_once(place)
        body = {"task": "compute", "args": {"path": str(place.trace), "number": number}}
        answer = httpx.post(f"{service.url}/v1/jobs", json=body)
        assert answer.status_code == 503
        let_go(place)
        wait_until(lambda: has_ended(place, 0), 20, place.logs)
        disk.clear()

        place.wait_until_all_ended()
        place.assert_all_done()

    def _submit_until_refused(self, place: Place) -> int:
        """Submit jobs, for which there may still be room in the log ahead; return a number for the next."""
        for number in range(1, 10_000):
            try:
                place.submit_one(place.new_job("compute", number), number)
            except StoreUnavailable:
                return number
        raise AssertionError("there is always room")

    def test_whose_folder_is_away(self, tmp_path):
        folder, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
        folder.mkdir()
        with contextlib.closing(Place(tmp_path, f"sqlite:///{folder}/jobs.db")) as place:
            place.start_runner(**LASTING)
            place.submit("wait_for_file", [0])
            place.wait_for_start(0)
            place.store.close()

            folder.rename(elsewhere)
            assert_refused_at_once(place)
            let_go(place)
            wait_until(lambda: has_ended(place, 0), 20, place.logs)
            elsewhere.rename(folder)
            place.submit("compute", range(1, 20))

            place.wait_until_all_ended()
            place.assert_all_done()
