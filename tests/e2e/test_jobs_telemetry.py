"""What a real service tells of jobs: the id of a request in every line, counts that a kill leaves right."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.e2e.exposed import metrics, named
from tests.e2e.running import ROOT, Service, free_port, is_gone, wait_until

TASKS = '''
import os, signal, time
from pathlib import Path
from service.tasks import attempt, task

@task
def quick() -> int:
    """Return at once."""
    return 1

@task
def fails() -> None:
    """Fail."""
    raise LookupError("no")

@task(crash_retries=0)
def crashes() -> None:
    """Die."""
    os.kill(os.getpid(), signal.SIGKILL)

@task
def hang_at_first(name: str) -> int:
    """Have no end at the first attempt."""
    Path(name).touch()
    while attempt() == 1:
        time.sleep(1)
    return attempt()

@task
def stays() -> None:
    """Take too long."""
    time.sleep(60)
'''

SETTINGS = {
    "SERVICE_TASK_MODULES": "telling",
    "SERVICE_WEB_WORKERS": "2",
    "SERVICE_CPU_SLOTS": "2",
    "SERVICE_JOB_LEASE": "3",
    "SERVICE_LOG_FORMAT": "json",
}


@pytest.fixture
def service(serve, tmp_path) -> Service:
    (tmp_path / "telling.py").write_text(TASKS)
    found: Service = serve(**SETTINGS)
    return found


@pytest.fixture
def runner_alone(tmp_path) -> Iterator[Callable[..., Service]]:
    """Start a runner in a folder of its own, on the database of the service."""
    started: list[Service] = []
    (tmp_path / "telling.py").write_text(TASKS)

    def start(**variables: str) -> Service:
        folder = tmp_path / f"runner{len(started)}"
        folder.mkdir()
        settings = SETTINGS | {
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "SERVICE_DATABASE_URL": f"sqlite:///{tmp_path}/var/everycore.db",
        }
        command = "service", "runner"
        runner = Service(folder, free_port(), command, subprocess.DEVNULL, **settings | variables)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.clean_up()


def submit(service: Service, task: str, request: str = "", **args: Any) -> dict[str, Any]:
    headers = {"X-Request-ID": request} if request else {}
    body = {"task": task, "args": args}
    answer = httpx.post(f"{service.url}/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service.url}{job['href']}?wait=20", timeout=30).json()
    assert found["finished_at"], found
    return found


def lines(service: Service, request: str) -> list[dict[str, Any]]:
    """Return the lines of the log that carry the id of a request."""
    read = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in read if line.get("request_id") == request]


def told(service: Service, request: str, *events: str) -> list[dict[str, Any]]:
    """Return these lines when all of them are there, in their order."""
    wanted = lambda: [line for line in lines(service, request) if line["event"] in events]  # noqa: E731
    wait_until(lambda: len(wanted()) >= len(events), 20, service.log.read_text)
    assert sorted(line["event"] for line in wanted()) == sorted(events)
    return wanted()


def value(found: dict[str, float], metric: str, **labels: str) -> float:
    return found[named(metric, **labels)]


def value_yet(found: dict[str, float], metric: str, **labels: str) -> float:
    """Return the value, 0 as long as there is none."""
    return found.get(named(metric, **labels), 0.0)


class TestLines:
    def test_a_job_s_lines_have_the_id_of_its_request(self, service):
        job = ended(service, submit(service, "quick", "order-7"))
        assert job["request_id"] == "order-7"

        started, end = told(service, "order-7", "attempt started", "attempt ended")

        attempt = {"job": job["id"], "task": "quick", "attempt": 1}
        assert started.items() >= attempt.items()
        assert end.items() >= (attempt | {"outcome": "succeeded", "state": "succeeded"}).items()
        assert 0 < end["seconds"] < 10
        (web,) = told(service, "order-7", "request")
        assert (web["path"], web["status"]) == ("/v1/jobs", 202)

    def test_so_have_those_of_one_that_fails(self, service):
        ended(service, submit(service, "fails", "order-8"))

        failed, end = told(service, "order-8", "attempt failed", "attempt ended")

        assert "LookupError: no" in failed["error"]
        assert "in fails" in failed["traceback"]
        assert (end["outcome"], end["state"]) == ("task-failed", "failed")

    def test_and_those_of_a_crash(self, service):
        ended(service, submit(service, "crashes", "order-9"))

        failed, end = told(service, "order-9", "attempt failed", "attempt ended")

        assert "SIGKILL" in failed["error"]
        assert (end["outcome"], end["state"]) == ("task-crashed", "failed")

    @pytest.mark.parametrize(
        ("task", "event", "said"),
        [
            ("fails", "task failed", "LookupError"),
            ("crashes", "call ended without a result", "SIGKILL"),
            ("stays", "call ended without a result", "its limit of"),
        ],
    )
    def test_what_happens_to_a_process_of_the_web_is_told_with_the_id(self, service, task, event, said):
        headers = {"X-Request-ID": "order-10", "Request-Timeout": "1" if task == "stays" else "20"}
        answer = httpx.post(f"{service.url}/v1/tasks/{task}", json={}, headers=headers, timeout=30)
        assert answer.status_code >= 500

        (line,) = told(service, "order-10", event)

        assert said in line["error"]

    def test_and_for_the_first_item_of_a_map(self, service):
        body: dict[str, Any] = {"items": [{}, {}]}
        headers = {"X-Request-ID": "order-11"}
        httpx.post(f"{service.url}/v1/tasks/fails/map", json=body, headers=headers, timeout=30)

        assert told(service, "order-11", "task failed")


class TestCounts:
    def test_they_are_exact_and_stay_when_a_runner_is_killed(self, service, tmp_path):
        jobs = [submit(service, "quick") for _ in range(20)]
        held = submit(service, "hang_at_first", name="begun")
        wait_until((tmp_path / "begun").exists, 20, service.log.read_text)
        for job in jobs:
            ended(service, job)
        (runner,) = service.runners()
        # It counts after the database knows.
        done = {"task": "quick", "state": "succeeded"}
        wait_until(
            lambda: value_yet(metrics(service.url), "jobs_finished_total", **done) == 20,
            10,
            service.log.read_text,
        )
        runner.send_signal(signal.SIGKILL)
        wait_until(lambda: is_gone(runner), 5, service.log.read_text)
        assert ended(service, held)["result"] == 2
        jobs = [submit(service, "quick") for _ in range(5)]
        for job in jobs:
            ended(service, job)

        def counted() -> bool:
            return (
                value_yet(metrics(service.url), "jobs_finished_total", task="quick", state="succeeded") >= 25
            )

        wait_until(counted, 10, service.log.read_text)
        found = metrics(service.url)
        assert value(found, "jobs_accepted_total", task="quick") == 25
        assert value(found, "jobs_finished_total", task="quick", state="succeeded") == 25
        assert value(found, "job_attempts_total", task="quick", outcome="succeeded") == 25
        assert value(found, "job_run_seconds_count", task="quick") == 25
        assert value(found, "job_lag_seconds_count", task="quick") == 25
        assert value(found, "jobs_finished_total", task="hang_at_first", state="succeeded") == 1
        assert value(found, "job_attempts_total", task="hang_at_first", outcome="runner-lost") == 1
        assert value(found, "job_attempts_total", task="hang_at_first", outcome="succeeded") == 1
        assert value(found, "job_lease_losses_total") == 1
        assert value(found, "job_results_refused_total") == 0

    def test_a_kill_under_load_counts_none_twice(self, service):
        number = 1500
        body = {"jobs": [{"task": "quick"}] * number}
        batch = httpx.post(f"{service.url}/v1/jobs/batch", json=body, timeout=30).json()

        def counts() -> dict[str, int]:
            found: dict[str, int] = httpx.get(f"{service.url}{batch['href']}").json()["counts"]
            return found

        wait_until(lambda: counts()["succeeded"] > 100, 30, service.log.read_text)
        (runner,) = service.runners()
        runner.send_signal(signal.SIGKILL)
        assert counts()["succeeded"] < number
        wait_until(lambda: counts()["succeeded"] == number, 50, lambda: f"{counts()}")

        def counted() -> float:
            return value_yet(metrics(service.url), "jobs_finished_total", task="quick", state="succeeded")

        # What was written in one transaction, and not yet counted, is all that may be missing.
        wait_until(lambda: counted() >= number - 150, 10, lambda: f"{counted()}")
        # A runner counts one step after another: with this one all those before it are counted.
        ended(service, submit(service, "fails"))
        failed = {"task": "fails", "state": "failed"}
        wait_until(
            lambda: value_yet(metrics(service.url), "jobs_finished_total", **failed) == 1,
            10,
            service.log.read_text,
        )
        assert counted() <= number

    def test_what_the_store_knows_is_told_by_each_worker(self, service):
        later = {"task": "quick", "delay": 3600}
        for _ in range(3):
            assert httpx.post(f"{service.url}/v1/jobs", json=later).status_code == 202

        found: dict[str, float] = {}

        def is_told() -> bool:
            found.clear()
            found.update(metrics(service.url))  # by whichever worker is asked
            return value_yet(found, "jobs", state="scheduled") == 3 and value_yet(found, "runners") == 1

        wait_until(is_told, 15, service.log.read_text)
        assert value(found, "store_up") == 1
        assert value(found, "jobs", state="queued") == 0
        assert value(found, "jobs_oldest_queued_seconds") == 0


class TestEndpoint:
    def test_a_runner_that_stands_alone_answers_for_itself(self, serve, runner_alone):
        web: Service
        (address, web) = f"127.0.0.1:{free_port()}", serve(**SETTINGS, SERVICE_RUNNERS="0")
        runner = runner_alone(SERVICE_RUNNER_BIND=address)
        url = f"http://{address}"
        wait_until(lambda: health(url) == 200, 30, runner.log.read_text)

        ended(web, submit(web, "quick", "order-12"))

        told(runner, "order-12", "attempt started", "attempt ended")
        labels = {"task": "quick", "outcome": "succeeded"}
        counted = lambda: value_yet(metrics(url), "job_attempts_total", **labels)  # noqa: E731
        wait_until(lambda: counted() == 1, 10, runner.log.read_text)
        found = metrics(url)
        assert value(found, "store_up") == 1
        assert value(found, "runners") == 1
        assert value(found, "calls_total", role="runner", task="quick", outcome="succeeded") == 1
        assert value_yet(found, "jobs_accepted_total", task="quick") == 0
        assert httpx.get(f"{url}/v1/tasks").status_code == 404

        another = runner_alone(SERVICE_RUNNER_BIND=address)
        assert another.parent.wait(timeout=30) == 2
        assert f"SERVICE_RUNNER_BIND='{address}': this address can't be had" in another.log.read_text()

        runner.parent.send_signal(signal.SIGTERM)
        assert runner.parent.wait(timeout=10) == 0

    def test_it_says_when_it_has_no_lease(self, runner_alone, tmp_path):
        address = f"127.0.0.1:{free_port()}"
        runner = runner_alone(SERVICE_RUNNER_BIND=address)
        url = f"http://{address}"
        wait_until(lambda: health(url) == 200, 30, runner.log.read_text)

        with closing(sqlite3.connect(tmp_path / "var" / "everycore.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody else can write
            wait_until(lambda: health(url) == 503, 20, runner.log.read_text)
            assert "could not renew its lease" in httpx.get(f"{url}/healthz").json()["reason"]
            other.execute("ROLLBACK")

        wait_until(lambda: health(url) == 200, 20, runner.log.read_text)

    def test_the_runners_of_serve_leave_it_aside(self, serve, tmp_path):
        (tmp_path / "telling.py").write_text(TASKS)
        address = f"127.0.0.1:{free_port()}"
        (tmp_path / ".env").write_text(f"SERVICE_RUNNER_BIND={address}\n")
        service: Service = serve(**SETTINGS, SERVICE_RUNNERS="2")

        ended(service, submit(service, "quick"))

        assert len(service.runners()) == 2
        assert health(f"http://{address}") is None


def health(url: str) -> int | None:
    try:
        return httpx.get(f"{url}/healthz", timeout=10).status_code
    except httpx.TransportError:
        return None
