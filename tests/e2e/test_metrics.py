"""The metrics of a real service: exact, whichever worker is asked, whoever was killed or replaced."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.exposed import metrics
from tests.e2e.jobs_small_disk import SmallDisk, on_small_disk
from tests.e2e.running import GUNICORN, Service, is_gone, running, wait_until

TASKS = '''
import os, sys, time
from service.tasks import task

@task(cpu=0)
def metrics_nap(seconds: float) -> int:
    """Sleep, and tell which process did."""
    time.sleep(seconds)
    return os.getpid()

@task()
def metrics_spin(seconds: float) -> None:
    """Compute."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

@task()
def metrics_looks_around() -> dict[str, list[str]]:
    """Tell what this process knows of metrics."""
    files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdecimal()
             and os.path.lexists(f"/proc/self/fd/{fd}")]
    with open("/proc/self/maps") as maps:
        files += maps.read().split()
    return {
        "modules": [name for name in sys.modules if "prometheus" in name or "telemetry.metrics" in name],
        "files": [file for file in files if "/run/metrics" in file],
        "variables": [name for name in os.environ if "PROMETHEUS" in name],
    }
'''

SQUARES = "/v1/tasks/sum_of_squares"

CALLS = 'calls_total{outcome="succeeded",role="web",task="sum_of_squares"}'
REQUESTS = 'http_requests_total{endpoint="/v1/tasks/{name}",method="POST",status="200"}'


@pytest.fixture
def start(serve: Callable[..., Service], tmp_path: Path) -> Callable[..., Service]:
    (tmp_path / "mytasks.py").write_text(TASKS)

    def start(*command: str, **variables: str) -> Service:
        settings = {"SERVICE_TASK_MODULES": "mytasks", "SERVICE_WEB_WORKERS": "3", "SERVICE_RUNNERS": "0"}
        return serve(*command, **(settings | variables))

    return start


def post(service: Service, number: int) -> None:
    """Send requests, each in a connection of its own: any worker may get it."""

    def one(_: int) -> None:
        # One that comes to a worker that is being killed is not counted, and is sent again.
        for _attempt in range(20):
            with contextlib.suppress(httpx.TransportError):
                assert httpx.post(f"{service.url}{SQUARES}", json={"n": 5}, timeout=30).status_code == 200
                return
            time.sleep(0.05)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(number)))


def folder_of(service: Service) -> Path:
    """Return the folder where its metrics are."""
    (found,) = (service.log.parent / "var" / "run" / "metrics").iterdir()
    return found


def kill_a_worker(service: Service) -> None:
    """Kill one, and return when another is there for it."""
    victim, *others = service.workers()
    victim.send_signal(signal.SIGKILL)

    def is_replaced() -> bool:
        return is_gone(victim) and len(service.workers()) == 1 + len(others)

    wait_until(is_replaced, 20, service.log.read_text)


def kill_the_runner(service: Service) -> None:
    (victim,) = service.runners()
    victim.send_signal(signal.SIGKILL)
    wait_until(lambda: set(service.runners()) not in ({victim}, set()), 20, service.log.read_text)


def are_gone(processes: list[psutil.Process]) -> bool:
    return all(map(is_gone, processes))


@pytest.mark.parametrize("command", [(), GUNICORN], ids=["serve", "gunicorn"])
def test_each_worker_tells_what_all_have_done(
    start: Callable[..., Service], command: tuple[str, ...]
) -> None:
    service = start(*command)

    post(service, 90)

    told = [
        metrics(service.url) for _ in range(12)
    ]  # of several workers, for each has a connection of its own
    assert {(each[CALLS], each[REQUESTS]) for each in told} == {(90, 90)}
    assert {each['call_run_seconds_count{role="web",task="sum_of_squares"}'] for each in told} == {90}
    wait_until(lambda: metrics(service.url)["web_workers"] == 3, 20, service.log.read_text)
    assert metrics(service.url)["http_requests_in_flight"] == 1  # the one that asks
    counted = [
        file for file in folder_of(service).glob("counter_*.db") if b"sum_of_squares" in file.read_bytes()
    ]
    assert len(counted) > 1  # or this test would show nothing


def test_counts_stay_when_workers_are_killed_again_and_again(start: Callable[..., Service]) -> None:
    service = start(SERVICE_WEB_WORKERS="2")
    for done in range(1, 6):
        post(service, 20)
        assert metrics(service.url)[REQUESTS] == metrics(service.url)[CALLS] == 20 * done
        kill_a_worker(service)

    wait_until(lambda: metrics(service.url)["web_workers"] == 2, 20, service.log.read_text)
    told = metrics(service.url)
    assert (told[REQUESTS], told[CALLS], told["http_requests_in_flight"]) == (100, 100, 1)
    assert len(list(folder_of(service).glob("place_*"))) == 2


def test_what_a_killed_worker_had_under_way_is_so_no_more(start: Callable[..., Service]) -> None:
    service = start(SERVICE_WEB_WORKERS="1")
    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            threads.submit(
                httpx.post, f"{service.url}/v1/tasks/metrics_nap", json={"seconds": 25}, timeout=30
            )

        def is_busy() -> bool:
            told = metrics(service.url)
            return told["http_requests_in_flight"] == 4 and told['pool_processes{role="web"}'] == 3

        wait_until(is_busy, 20, service.log.read_text)
        kill_a_worker(service)

        def is_idle() -> bool:
            with contextlib.suppress(httpx.TransportError):
                told = metrics(service.url)
                return told["http_requests_in_flight"] == 1 and told.get('pool_processes{role="web"}', 0) == 0
            return False

        wait_until(is_idle, 20, service.log.read_text)


def test_counts_stay_over_reloads(start: Callable[..., Service]) -> None:
    service = start(SERVICE_WEB_WORKERS="2")
    for done in range(1, 4):
        post(service, 20)
        assert metrics(service.url)[REQUESTS] == 20 * done
        old = service.workers()
        service.parent.send_signal(signal.SIGHUP)
        wait_until(functools.partial(are_gone, old), 30, service.log.read_text)

    wait_until(lambda: metrics(service.url)["web_workers"] == 2, 20, service.log.read_text)
    assert metrics(service.url)[CALLS] == 60
    # While a reload goes on there are twice as many; and one process checks the configuration.
    assert len(list(folder_of(service).glob("place_*"))) <= 5


def test_runners_of_serve_count_too_and_their_counts_stay(start: Callable[..., Service]) -> None:
    service = start(SERVICE_WEB_WORKERS="1", SERVICE_RUNNERS="1")
    of_runner = CALLS.replace("web", "runner")
    for done in range(1, 4):
        job = httpx.post(f"{service.url}/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 5}}).json()
        ended = httpx.get(f"{service.url}{job['href']}?wait=20", timeout=30).json()
        assert ended["state"] == "succeeded"
        told = metrics(service.url)
        assert told[of_runner] == done
        assert told['jobs_finished_total{state="succeeded",task="sum_of_squares"}'] == done
        kill_the_runner(service)

    told = metrics(service.url)
    assert told[of_runner] == 3
    assert CALLS not in told


def test_calls_are_told_by_what_became_of_them(start: Callable[..., Service]) -> None:
    service = start()
    nap = f"{service.url}/v1/tasks/metrics_nap"
    with httpx.Client(timeout=30) as client:
        assert client.post(nap, json={"seconds": 0}).status_code == 200  # there is a process now
        assert client.post(nap, json={"seconds": 5}, headers={"Request-Timeout": "0.2"}).status_code == 504
        items = {"items": [{"n": n} for n in range(500)]}
        assert client.post(f"{service.url}{SQUARES}/map", json=items).json()["summary"]["succeeded"] == 500

    told = metrics(service.url)
    assert told['calls_total{outcome="deadline-exceeded",role="web",task="metrics_nap"}'] == 1
    assert told['pool_process_ends_total{reason="killed",role="web"}'] == 1
    assert told[CALLS] == 500
    assert told['http_requests_total{endpoint="/v1/tasks/{name}",method="POST",status="504"}'] == 1
    assert told['transport_bytes_total{direction="sent",role="web"}'] > 500


def test_it_answers_at_once_when_all_else_is_full(start: Callable[..., Service]) -> None:
    service = start(
        SERVICE_WEB_WORKERS="1", SERVICE_WEB_THREADS="4", SERVICE_CPU_SLOTS="1", SERVICE_JOB_SLOTS="1"
    )
    over = threading.Event()

    def ask_again_and_again(_: int) -> None:
        while not over.is_set():
            with contextlib.suppress(httpx.TransportError):
                httpx.post(f"{service.url}/v1/tasks/metrics_spin", json={"seconds": 0.5}, timeout=30)
            over.wait(0.05)

    with ThreadPoolExecutor(10) as threads:
        asking = [threads.submit(ask_again_and_again, number) for number in range(10)]
        try:
            full = lambda: metrics(service.url)["runs_waiting"] >= 1  # noqa: E731
            wait_until(full, 20, service.log.read_text)
            took, used = [], []
            for _ in range(10):
                began = time.monotonic()
                used.append(metrics(service.url)["cpu_slots_used"])
                took.append(time.monotonic() - began)
        finally:
            over.set()
    for future in asking:
        future.result()
    assert max(used) == 1
    assert max(took) < 5  # of the 10 that Prometheus has, on a machine that does much else
    assert (
        metrics(service.url)['http_requests_total{endpoint="/v1/tasks/{name}",method="POST",status="503"}']
        > 0
    )


def test_a_pool_process_knows_nothing_of_metrics(start: Callable[..., Service]) -> None:
    service = start()

    found = httpx.post(f"{service.url}/v1/tasks/metrics_looks_around", json={}).json()["result"]

    assert found == {"modules": [], "files": [], "variables": []}


def test_the_folder_is_gone_with_the_service_and_one_that_was_killed_leaves_none_for_long(
    start: Callable[..., Service],
) -> None:
    service = start()
    folder = folder_of(service)
    service.parent.send_signal(signal.SIGTERM)
    service.parent.wait(20)
    assert not folder.exists()

    service = start()
    folder = folder_of(service)
    os.kill(service.parent.pid, signal.SIGKILL)
    service.parent.wait()
    service.assert_gone(within=10)
    assert folder.exists()

    service = start()
    assert folder_of(service) != folder
    assert REQUESTS not in metrics(service.url)


def test_a_service_that_can_keep_no_metrics_says_so_and_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    service = Service(tmp_path, 1, ("service", "serve"), SERVICE_RUNTIME_DIR=str(tmp_path / "run"))

    assert service.parent.wait(20) == 2

    assert "SERVICE_RUNTIME_DIR: no metrics can be kept in" in service.log.read_text()
    assert not service.processes()


def test_a_full_disk_stops_no_worker(tmp_path: Path) -> None:
    def check(disk: SmallDisk) -> None:
        variables = {
            "SERVICE_WEB_WORKERS": "2",
            "SERVICE_RUNNERS": "0",
            "SERVICE_RUNTIME_DIR": f"{disk.folder}/run",
        }
        with running(tmp_path, **variables) as service:
            wait_until(lambda: metrics(service.url)["web_workers"] == 2, 20, service.log.read_text)
            disk.fill()
            workers = service.workers()
            post(service, 30)
            for _ in range(6):  # metrics of its own, in both workers
                httpx.post(f"{service.url}/v1/tasks/primes", json={"limit": 5}).raise_for_status()
            told = metrics(service.url)
            assert (told[CALLS], told[CALLS.replace("sum_of_squares", "primes")]) == (30, 6)
            assert service.workers() == workers
            kill_a_worker(service)
            post(service, 10)
            assert metrics(service.url)[CALLS] == 40

    on_small_disk(tmp_path / "disk", "16m", check)
