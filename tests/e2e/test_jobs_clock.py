"""Leases hang on no time of day, and who has lost one changes nothing any more."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.jobs.model import State, StoreUnavailable
from tests.e2e.jobs_halting import BEFORE
from tests.e2e.jobs_place import DATABASES, RECOVERY, Place, kill, on_server, opened
from tests.e2e.jobs_tasks import END, TWICE
from tests.e2e.running import Service, wait_until

#: Seconds that jobs take here, longer than a lease.
LONG = 3.5
JUMPING = "tests.e2e.jobs_jumping"
LATE_RESULT = "a late result was refused"
WORDS_OF_LOSS = ("a runner is gone", "was taken for dead", "could not renew its lease", LATE_RESULT)


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request, tmp_path) as place:
        yield place


def assert_nobody_lost_a_lease(place: Place) -> None:
    said = place.logs() + "".join(line.line for job in place.jobs.values() for line in place.store.log(job))
    assert not [words for words in WORDS_OF_LOSS if words in said], said


def let_go(place: Place) -> None:
    """Let the jobs that wait for a file end."""
    Path(f"{place.trace}.go").touch()


class TestAClock:
    def test_that_jumps_an_hour_every_second_disturbs_no_lease(self, place):
        runners = place.start_runners([JUMPING], [])
        jobs = {number: place.new_job("pause", number, seconds=LONG) for number in range(4)}

        # What is to expire does so by the time of day: in two hours, or in one, but not now.
        place.submit_all(jobs, expires_at=time.time() + 2 * 3600 + 60)
        place.wait_until_all_ended()

        place.assert_all_done()
        assert_nobody_lost_a_lease(place)
        assert place.runners().keys() == {runner.parent.pid for runner in runners}

    def test_that_was_set_back_holds_up_no_job_that_is_given_back(self, place):
        first = place.start_runner(JUMPING, "-1", SERVICE_JOB_LEASE="60")
        place.start_runner(JUMPING, "-1", SERVICE_JOB_LEASE="60")
        place.submit("wait_for_file", range(3))  # one more than one of them can run
        for number in range(3):
            place.wait_for_start(number)
        again = place.held_by(place.runners()[first.parent.pid])

        first.parent.send_signal(signal.SIGINT)
        first.parent.wait(20)
        let_go(place)

        place.wait_until_all_ended()
        place.assert_all_done(again, crashed=False)


class TestALease:
    def test_of_the_shortest_length_is_held(self, place):
        place.start_runners([], [], SERVICE_JOB_LEASE="1")

        place.submit("pause", range(4), seconds=2.5)
        place.wait_until_all_ended()

        place.assert_all_done()
        assert_nobody_lost_a_lease(place)

    def test_that_was_lost_makes_a_result_too_late(self, place):
        zombie = place.start_runner()
        job = place.submit_one(place.new_job("wait_for_file", 0), 0)
        place.wait_for_start(0)
        other = place.start_runner()

        self._halt(place, zombie)
        place.wait_for_start(0, attempt=2)
        # Its pool process goes on, and has a result when the runner comes back.
        Path(f"{place.trace}.go-1").touch()
        wait_until(lambda: [1, END] in [list(line[1:3]) for line in place.lines()], 20, place.logs)
        psutil.Process(zombie.parent.pid).resume()

        wait_until(lambda: LATE_RESULT in zombie.log.read_text(), RECOVERY, place.logs)
        wait_until(lambda: zombie.parent.pid in place.runners(), RECOVERY, place.logs)
        assert (place.store.get(job).state, place.store.get(job).attempts) == (State.RUNNING, 2)
        let_go(place)
        place.wait_until_all_ended()
        found = place.store.get(job)
        assert (found.state, found.attempts, found.crashes, found.version) == (State.SUCCEEDED, 2, 1, 5)
        # That it ran twice at a time is why the first result must be refused.
        assert [line.attempt for line in place.lines() if line.what == TWICE] == [2]
        self._assert_works(place, zombie, without=other)

    def _assert_works(self, place: Place, runner: Service, without: Service) -> None:
        kill(without)
        place.submit("compute", range(1, 20))
        place.wait_until_all_ended()
        assert runner.parent.poll() is None
        assert {place.store.get(place.jobs[number]).state for number in range(1, 20)} == {State.SUCCEEDED}

    def _halt(self, place: Place, runner: Service) -> None:
        """Halt a runner, but not in a transaction, which would hold up everybody on SQLite."""
        process = psutil.Process(runner.parent.pid)
        while True:
            process.suspend()
            try:
                place.held_by("nobody")
            except StoreUnavailable:
                process.resume()
            else:
                return


def test_a_runner_whose_network_goes_dead_stops_its_jobs_before_others_have_them(postgres, tmp_path):
    """Its own thread waits for an answer all the time."""
    between = postgres.folder / "between"
    between.mkdir()
    name = ".s.PGSQL.5432"
    with on_server(postgres, tmp_path) as place:
        network = place.start("tests.e2e.jobs_proxy", str(between / name), str(postgres.folder / name))
        wait_until((between / name).exists, 10, place.logs)
        detour = place.url.replace(str(postgres.folder), str(between))
        cut_off = place.start_runner(SERVICE_DATABASE_URL=detour)
        job = place.submit_one(place.new_job("wait_for_file", 0), 0)
        place.wait_for_start(0)
        place.start_runner()

        psutil.Process(network.parent.pid).suspend()
        place.wait_for_start(0, attempt=2)
        let_go(place)
        place.wait_until_all_ended()
        psutil.Process(network.parent.pid).resume()

        wait_until(lambda: LATE_RESULT in cut_off.log.read_text(), RECOVERY, place.logs)
        wait_until(lambda: cut_off.parent.pid in place.runners(), RECOVERY, place.logs)
        place.assert_all_done(again={job})


def test_a_runner_that_is_stuck_in_a_transaction_holds_up_no_other(postgres, tmp_path):
    """Others find its row locked; meanwhile they see to their own leases."""
    mark = tmp_path / "mark"
    with on_server(postgres, tmp_path) as place:
        place.start_runner("tests.e2e.jobs_halting", BEFORE, "claim", "1", str(mark))
        place.submit("compute", [0])
        wait_until(mark.exists, 20, place.logs)
        place.start_runner()

        place.submit("pause", [1], seconds=LONG)
        wait_until(lambda: place.store.get(place.jobs[1]).state.is_final, 20, place.logs)
        mark.unlink()

        assert place.store.get(place.jobs[1]).attempts == 1
        place.wait_until_all_ended()
        place.assert_each_succeeded_once()
