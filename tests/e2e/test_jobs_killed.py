"""SIGKILL at every step, with a thousand jobs in flight: what was accepted gets done, once.

step x who dies; what happens to PostgreSQL itself is in ``test_jobs_outage``.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.jobs.arguments import JSON
from service.jobs.model import Job, NewJob, Payload, State
from service.tasks.strict_json import dumps
from tests.e2e.jobs_clients import Clients
from tests.e2e.jobs_halting import AFTER, BEFORE
from tests.e2e.jobs_place import DATABASES, RECOVERY, Place, kill, opened
from tests.e2e.jobs_tasks import START
from tests.e2e.running import is_gone, wait_until
from tests.unit.jobs.receivers import receiver, status

HALTING = "tests.e2e.jobs_halting"
WEBHOOKS = {"SERVICE_WEBHOOK_SECRET": "w" * 32, "SERVICE_WEBHOOK_ALLOW": "127.0.0.0/8"}
#: Numbers of short jobs, of longer ones and of those with webhooks.
SHORT, LONGER, WITH_WEBHOOKS = range(1000), range(1000, 1010), range(1010, 1015)
#: Seconds of work of a short one.
WORK = 0.001


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request, tmp_path) as place:
        yield place


def submit(place: Place) -> None:
    place.submit("pause", LONGER, seconds=0.2)
    place.submit("compute", SHORT, seconds=WORK)


def assert_taken_over(place: Place, dead: str, had: set[str], within: float = RECOVERY) -> None:
    """Wait until others run what a runner had, which may be nothing, and have removed it."""

    def taken_over() -> bool:
        started_again = all(place.store.get(job).attempts > 1 for job in had)
        return started_again and dead not in place.runners().values()

    wait_until(taken_over, within, place.logs)


class TestARunner:
    @pytest.mark.parametrize(
        ("when", "query", "nth"),
        [
            pytest.param(BEFORE, "claim", 3, id="before-a-claim-is-committed"),
            pytest.param(AFTER, "claim", 3, id="after-a-claim"),
            pytest.param(BEFORE, "add_result", 3, id="before-a-result-is-committed"),
            pytest.param(AFTER, "add_result", 3, id="after-a-result"),
        ],
    )
    def test_at_a_commit(self, place, tmp_path, when, query, nth):
        mark = tmp_path / "mark"
        victim, _ = place.start_runners([HALTING, when, query, str(nth), str(mark)], [])
        dead = place.runners()[victim.parent.pid]

        submit(place)
        wait_until(mark.exists, 20, place.logs)
        kill(victim)

        had = place.held_by(dead)
        assert_taken_over(place, dead, had)
        place.wait_until_all_ended()
        place.assert_all_done(again=had)

    def test_in_the_run(self, place):
        victim, _ = place.start_runners([], [])
        dead = place.runners()[victim.parent.pid]

        submit(place)
        place.wait_for_lines(500)
        kill(victim)

        had = place.held_by(dead)
        assert_taken_over(place, dead, had)
        place.wait_until_all_ended()
        place.assert_all_done(again=had)

    def test_in_a_webhook(self, place, tmp_path):
        """The message was sent, and that is not known: it is sent again, with the same id."""
        mark = tmp_path / "mark"
        with receiver(status(200)) as hook:
            jobs = {number: place.new_job("compute", number) for number in WITH_WEBHOOKS}
            place.submit_all(jobs, webhook=f"http://127.0.0.1:{hook.port}/")
            submit(place)
            victim = place.start_runner(HALTING, BEFORE, "settle_delivery", "1", str(mark), **WEBHOOKS)
            dead = place.runners()[victim.parent.pid]

            wait_until(mark.exists, 20, place.logs)
            kill(victim)
            had = place.held_by(dead)
            place.start_runner(**WEBHOOKS)

            assert_taken_over(place, dead, had)
            wait_until(lambda: all(self._was_delivered(place, number) for number in jobs), 5, place.logs)
            ids = [request.headers["webhook-id"] for request in hook.requests]
        assert len(set(ids)) == len(WITH_WEBHOOKS) < len(ids)
        place.wait_until_all_ended()
        place.assert_all_done(again=had)

    def _was_delivered(self, place: Place, number: int) -> bool:
        return [delivery.state for delivery in place.store.deliveries(place.jobs[number])] == ["delivered"]

    @pytest.mark.parametrize("place", ["sqlite"], indirect=True)
    def test_with_the_lease_that_is_the_default(self, place):
        victim, _ = place.start_runners([], [], SERVICE_JOB_LEASE="15")
        dead = place.runners()[victim.parent.pid]

        place.submit("pause", LONGER, seconds=0.5)
        wait_until(lambda: place.held_by(dead), 10, place.logs)
        kill(victim)

        had = place.held_by(dead)
        assert_taken_over(place, dead, had, within=17.0)
        place.wait_until_all_ended()
        place.assert_all_done(again=had)

    def test_whose_job_somebody_cancels_meanwhile(self, place):
        victim = place.start_runner()
        dead = place.runners()[victim.parent.pid]
        job = place.submit_one(place.new_job("wait_for_file", 0), 0)
        place.wait_for_start(0)

        kill(victim)
        place.store.cancel(job)
        place.start_runner()

        wait_until(lambda: place.store.get(job).state.is_final, 20, place.logs)
        assert place.store.get(job).state == State.CANCELLED
        assert dead not in place.runners().values()


class TestAPoolProcess:
    def test_takes_only_its_own_job_along(self, place):
        place.start_runner()
        submit(place)
        place.submit_one(place.new_job("wait_for_file", 2000), 2000)
        process = psutil.Process(place.wait_for_start(2000).pid)

        process.kill()
        Path(f"{place.trace}.go").touch()

        place.wait_until_all_ended()
        place.assert_all_done(again={place.jobs[2000]})
        wait_until(lambda: is_gone(process), 5, lambda: f"{process} is left")

    def test_that_a_job_kills_each_time_ends_with_it(self, place):
        place.start_runner()
        job = place.submit_one(place.new_job("kill_itself", 0), 0)

        place.wait_until_all_ended()

        found = place.store.get(job)
        assert (found.state, found.attempts, found.crashes) == (State.FAILED, 2, 2)
        assert found.error is not None
        assert found.error["type"] == "/problems/task-crashed"
        assert "SIGKILL" in found.error["detail"]


class TestAJobThatHoldsTheGil:
    """It is in C code, and hears nothing."""

    def test_and_is_cancelled_is_dead_when_the_job_says_so(self, place, tmp_path):
        job, process = self._begin(place, tmp_path / "mark", timeout=60)

        place.store.cancel(job)

        ended = self._wait_for_end(place, job)
        assert is_gone(process)
        assert ended.state == State.CANCELLED

    def test_and_runs_out_of_time_is_dead_when_the_job_says_so(self, place, tmp_path):
        job, process = self._begin(place, tmp_path / "mark", timeout=1.0)

        ended = self._wait_for_end(place, job)
        assert is_gone(process)
        assert (ended.state, ended.attempts, ended.crashes) == (State.FAILED, 1, 0)
        assert ended.error is not None
        assert ended.error["type"] == "/problems/deadline-exceeded"

    def _begin(self, place: Place, mark: Path, timeout: float) -> tuple[str, psutil.Process]:
        place.start_runner()
        args = Payload(JSON, dumps({"mark": str(mark), "seconds": 60}))
        job, _ = place.store.submit(NewJob("hold_the_gil", args, cpu=1, timeout=timeout))
        wait_until(mark.exists, 20, place.logs)
        return job.id, psutil.Process(int(mark.read_text()))

    def _wait_for_end(self, place: Place, job: str) -> Job:
        wait_until(lambda: place.store.get(job).state.is_final, 10, place.logs)
        return place.store.get(job)


class TestATaskThatIsWrong:
    def test_about_the_media_type_of_its_result_ends_its_job(self, place):
        place.start_runner()
        job = place.submit_one(place.new_job("return_bytes_of_no_type", 0), 0)

        place.wait_until_all_ended()

        found = place.store.get(job)
        assert (found.state, found.attempts) == (State.FAILED, 1)
        assert found.error is not None
        assert found.error["type"] == "/problems/result-not-serializable"


class TestAnyone:
    KILLS = 100

    @pytest.mark.timeout(120)
    def test_a_hundred_times(self, place):
        """Runners and pool processes are killed at random, while jobs come in."""
        chance = random.Random(4)
        runners = place.start_runners([], [])
        for kills in range(self.KILLS):
            place.submit("compute", range(10 * kills, 10 * kills + 10), seconds=0.005)
            if chance.random() < 0.06:
                kill(runners.pop(chance.randrange(2)))
                runners.append(place.start("service", "runner"))
            else:
                self._kill_a_pool_process(place, len(place.lines()))

        place.wait_until_all_ended()

        place.assert_each_succeeded_once()
        jobs = place.found().values()
        assert {(job.attempts - job.crashes, job.failures) for job in jobs} == {(1, 0)}
        assert sum(job.crashes for job in jobs) > self.KILLS // 2
        alive = {runner.parent.pid for runner in runners}
        # One that was killed last may have had no job, and the one in its place may still be starting.
        wait_until(lambda: place.runners().keys() == alive, 20, place.logs)
        assert place.listeners() <= alive

    def _kill_a_pool_process(self, place: Place, known: int) -> None:
        """Kill the one that begins a job next, unless none does for a while."""
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            if begun := [line for line in place.lines()[known:] if line.what == START]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(begun[-1].pid).kill()
                return


class TestOverHttp:
    def test_a_web_worker_after_it_has_accepted_jobs(self, place):
        service = place.serve(SERVICE_WEB_WORKERS="2", SERVICE_RUNNERS="1")
        with Clients(lambda: service.url) as clients:
            clients.submit("compute", SHORT, path=str(place.trace))
            for accepted in range(100, 1000, 100):
                clients.wait_until_accepted(accepted)
                random.choice(service.workers()).kill()

        place.jobs = clients.accepted
        place.wait_until_all_ended()
        assert len(place.jobs) == len(SHORT)
        assert clients.refusals
        place.assert_all_done()

    def test_the_whole_service(self, place):
        services = [place.serve(SERVICE_WEB_WORKERS="2", SERVICE_RUNNERS="1")]
        with Clients(lambda: services[-1].url) as clients:
            clients.submit("pause", LONGER, path=str(place.trace), seconds=0.2)
            clients.submit("compute", SHORT, path=str(place.trace), seconds=WORK)
            clients.wait_until_accepted(len(SHORT) // 2)
            (dead,) = place.runners().values()
            kill(services[0])
            had = place.held_by(dead)
            services.append(place.serve(SERVICE_WEB_WORKERS="2", SERVICE_RUNNERS="1"))
            assert_taken_over(place, dead, had)

        place.jobs = clients.accepted
        place.wait_until_all_ended()
        assert len(place.jobs) == len(SHORT) + len(LONGER)
        place.assert_all_done(again=had)
