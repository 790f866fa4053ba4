"""``python -m service serve``: it passes signals on, it stops, and whoever dies takes the rest along."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.e2e.running import GUNICORN, Service, wait_until

TASKS = '''
import ctypes, os, time
from pathlib import Path
from service.tasks import task

def _started() -> None:
    Path(f"started-{os.getpid()}").touch()

@task(cpu=0)
def wait(seconds: float) -> str:
    """Wait."""
    _started()
    time.sleep(seconds)
    return "waited"

@task()
def spin() -> None:
    """Compute in Python for ever."""
    _started()
    while True:
        pass

@task()
def hold_the_gil() -> None:
    """Stay in a C call that holds the GIL."""
    _started()
    ctypes.PyDLL(None).sleep(3600)

@task()
def version() -> int:
    """Tell which version of this module this is."""
    return 1
'''


@pytest.fixture
def service(serve: Callable[..., Service], tmp_path) -> Service:
    (tmp_path / "mytasks.py").write_text(TASKS)
    return serve(SERVICE_TASK_MODULES="mytasks", SERVICE_WEB_WORKERS="2", SERVICE_REQUEST_TIMEOUT="60")


@pytest.fixture
def call(service, tmp_path):
    """Send a request for a task in the background and return once the task runs."""
    with ThreadPoolExecutor() as requests:

        def send(task: str, **arguments) -> Future[httpx.Response]:
            url = f"{service.url}/v1/tasks/{task}"
            started = len(list(tmp_path.glob("started-*")))
            answer = requests.submit(httpx.post, url, json=arguments, timeout=60)
            wait_until(lambda: len(list(tmp_path.glob("started-*"))) > started, 20, service.log.read_text)
            return answer

        yield send
        # Requests end when their service does.
        service.clean_up()


def send_signal(process: psutil.Process, signum: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signum)


class TestStop:
    def test_sigterm_lets_a_running_request_finish(self, service, call):
        answer = call("wait", seconds=1)

        service.parent.send_signal(signal.SIGTERM)

        assert answer.result().json()["result"] == "waited"
        assert service.parent.wait(timeout=10) == 0
        service.assert_gone(within=1)

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT])
    @pytest.mark.parametrize("task", ["spin", "hold_the_gil"])
    def test_a_quick_stop_waits_for_nobody(self, service, call, signum, task):
        call(task)

        service.parent.send_signal(signum)

        assert service.parent.wait(timeout=5) == 0
        service.assert_gone(within=0.2)

    def test_a_second_ctrl_c_ends_it_at_once(self, service, call):
        call("spin")
        for worker in service.workers():
            worker.suspend()

        service.parent.send_signal(signal.SIGINT)
        service.parent.send_signal(signal.SIGINT)

        assert service.parent.wait(timeout=5) in (0, 128 + signal.SIGKILL)
        service.assert_gone(within=0.2)

    def test_a_quick_stop_that_hangs_is_enforced(self, service):
        for worker in service.workers():
            worker.suspend()

        service.parent.send_signal(signal.SIGINT)

        assert service.parent.wait(timeout=5) == 128 + signal.SIGKILL
        service.assert_gone(within=0.2)

    def test_a_closed_terminal_stops_it(self, serve):
        ours, theirs = os.openpty()
        service = serve(stdin=theirs)
        os.close(theirs)

        # The shell says it with SIGHUP, which reloads a service that has no terminal.
        service.parent.send_signal(signal.SIGHUP)

        assert service.parent.wait(timeout=5) == 0
        service.assert_gone(within=0.2)
        os.close(ours)

    def test_idle_it_stops_within_a_second_or_so(self, service):
        service.parent.send_signal(signal.SIGTERM)

        assert service.parent.wait(timeout=3) == 0
        service.assert_gone(within=0.2)


class TestDeath:
    @pytest.mark.parametrize("task", [None, "spin", "hold_the_gil"])
    def test_a_killed_parent_takes_everything_along(self, service, call, task):
        if task:
            call(task)

        service.parent.kill()
        service.parent.wait()

        service.assert_gone(within=1)

    @pytest.mark.parametrize("task", [None, "spin", "hold_the_gil"])
    def test_a_killed_master_ends_the_service_and_its_status_tells(self, service, call, task):
        if task:
            call(task)

        send_signal(service.master, signal.SIGKILL)

        assert service.parent.wait(timeout=5) == 128 + signal.SIGKILL
        service.assert_gone(within=1)

    def test_a_killed_worker_is_replaced(self, service):
        before = service.workers()

        send_signal(before[0], signal.SIGKILL)

        wait_until(lambda: before[0] not in service.workers(), 5, service.log.read_text)
        wait_until(lambda: len(service.workers()) == 2, 5, service.log.read_text)
        assert httpx.get(f"{service.url}/healthz").status_code == 200


WAITING = """
import pathlib, time
pathlib.Path(__file__).with_name("reached").touch()
while not pathlib.Path(__file__).with_name("go").exists():
    time.sleep(0.02)
"""


def checks(service):
    """Return the processes that look whether a reload will do."""
    return [process for process in service.processes() if process.cmdline()[-2:] == ["service", "check"]]


def checking(serve, tmp_path, **settings):
    """Return a service that has been told to reload, and whose check does not come to its end."""
    (tmp_path / "mytasks.py").write_text(TASKS)
    service = serve(SERVICE_TASK_MODULES="mytasks", SERVICE_WEB_WORKERS="1", SERVICE_RUNNERS="0", **settings)
    # Whoever runs its tasks has read the module by then; a runner might still be about to.
    assert httpx.post(f"{service.url}/v1/tasks/version", json={}, timeout=20).json()["result"] == 1
    (tmp_path / "mytasks.py").write_text(WAITING + TASKS)
    service.parent.send_signal(signal.SIGHUP)
    wait_until((tmp_path / "reached").exists, 20, service.log.read_text)
    assert len(checks(service)) == 1
    return service


class TestReload:
    def test_sighup_loads_changed_tasks_without_losing_a_request(self, service, call, tmp_path):
        before = service.workers()
        answer = call("wait", seconds=1)
        (tmp_path / "mytasks.py").write_text(TASKS.replace("return 1", "return 2 # longer"))

        service.parent.send_signal(signal.SIGHUP)

        assert answer.result().json()["result"] == "waited"
        wait_until(lambda: not set(before) & set(service.workers()), 20, service.log.read_text)
        assert httpx.post(f"{service.url}/v1/tasks/version", json={}).json()["result"] == 2

    def test_sighup_with_a_broken_module_changes_nothing(self, serve, tmp_path):
        (tmp_path / "mytasks.py").write_text(TASKS)
        # The only worker has read the module when it answers; another one might still be about to.
        service = serve(SERVICE_TASK_MODULES="mytasks", SERVICE_WEB_WORKERS="1")
        before = service.workers()
        (tmp_path / "mytasks.py").write_text("import no_such_library\n")

        service.parent.send_signal(signal.SIGHUP)

        wait_until(lambda: "reload refused" in service.log.read_text(), 10, service.log.read_text)
        assert service.workers() == before
        assert f"{tmp_path}/mytasks.py:1" in service.log.read_text()

    def test_a_stop_does_not_wait_for_a_check_that_has_no_end(self, serve, tmp_path):
        service = checking(serve, tmp_path)

        service.parent.send_signal(signal.SIGTERM)

        service.assert_gone(within=15)
        assert service.parent.wait() == 0

    def test_another_sighup_begins_the_check_anew(self, serve, tmp_path):
        service = checking(serve, tmp_path)
        (tmp_path / "mytasks.py").write_text(TASKS.replace("return 1", "return 2 # longer"))

        service.parent.send_signal(signal.SIGHUP)

        version = lambda: httpx.post(f"{service.url}/v1/tasks/version", json={}).json()["result"]  # noqa: E731
        wait_until(lambda: version() == 2, 20, service.log.read_text)

    def test_a_check_that_has_no_end_is_given_up(self, serve, tmp_path):
        service = checking(serve, tmp_path, SERVICE_REQUEST_TIMEOUT_MAX="5", SERVICE_GRACEFUL_TIMEOUT="7")

        wait_until(lambda: "took too long" in service.log.read_text(), 20, service.log.read_text)
        wait_until(lambda: not checks(service), 5, service.log.read_text)
        assert httpx.post(f"{service.url}/v1/tasks/version", json={}).json()["result"] == 1

    def test_what_went_wrong_since_the_check_began_is_refused(self, serve, tmp_path):
        service = checking(serve, tmp_path)
        (tmp_path / ".env").write_text("SERVICE_WEB_THREADS=oops\n")

        (tmp_path / "go").touch()

        wait_until(lambda: "reload refused" in service.log.read_text(), 20, service.log.read_text)
        assert "SERVICE_WEB_THREADS" in service.log.read_text()
        assert httpx.post(f"{service.url}/v1/tasks/version", json={}).json()["result"] == 1

    def test_a_check_goes_with_a_serve_that_is_killed(self, serve, tmp_path):
        service = checking(serve, tmp_path)

        service.parent.kill()

        service.assert_gone(within=15)

    @pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN])
    def test_other_signals_do_no_harm(self, service, signum):
        service.parent.send_signal(signum)
        service.parent.send_signal(signal.SIGTTOU)

        wait_until(lambda: "Handling signal: ttou" in service.log.read_text(), 5, service.log.read_text)
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        assert service.parent.poll() is None


class TestServing:
    def test_every_line_of_the_log_is_json(self, service):
        httpx.get(f"{service.url}/healthz")
        service.parent.send_signal(signal.SIGTERM)
        service.parent.wait(timeout=10)

        lines = [json.loads(line) for line in service.log.read_text().splitlines()]

        assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)

    def test_a_query_of_a_thousand_items_is_read(self, service):
        items = {"item": [10_000_000 + n for n in range(1001)]}

        # 1001 are too many for the endpoint: that it says so, shows that it has read them.
        assert httpx.get(f"{service.url}/parallel_data_processing/", params=items).status_code == 400

    def test_a_request_line_without_end_is_refused(self, service):
        assert httpx.get(f"{service.url}/healthz", params={"x": "y" * 40_000}).status_code == 414

    def test_gunicorn_alone_serves_too(self, serve):
        service = serve(*GUNICORN)

        assert httpx.get(f"{service.url}/healthz").status_code == 200

    def test_clients_at_once_get_their_own_answers(self, service):
        url = f"{service.url}/v1/tasks/sum_of_squares"
        with ThreadPoolExecutor(8) as clients, httpx.Client() as client:
            barrier = threading.Barrier(8)

            def ask(n: int) -> int:
                barrier.wait()
                return int(client.post(url, json={"n": n}).json()["result"])

            assert list(clients.map(ask, range(8))) == [sum(i * i for i in range(n)) for n in range(8)]
