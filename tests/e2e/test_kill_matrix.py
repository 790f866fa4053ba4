"""Signal x who gets it x what is in flight: what dies, what lives on, and what the client hears.

SIGKILL to master and parent, and the quick stop of a parent with work in flight, are in ``test_serve``.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.e2e.running import ROOT, Service, free_port, is_gone, running, wait_until

SETTINGS = {
    "SERVICE_TASK_MODULES": "tests.e2e.busy_tasks",
    "SERVICE_WEB_WORKERS": "1",
    "SERVICE_CPU_SLOTS": "2",
    "SERVICE_REQUEST_TIMEOUT": "60",
}

#: Nothing in flight, pure Python, and a C call that holds the GIL.
IDLE, PYTHON, C = None, "spin", "hold_the_gil"

#: Seconds of work that does not end by itself before its test does.
LONG = 3600.0

KILL, TERM, INT, ABRT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT

every_signal = pytest.mark.parametrize("signum", [KILL, TERM, INT, ABRT], ids=lambda signum: signum.name)
every_work = pytest.mark.parametrize("task", [PYTHON, C], ids=["python", "c"])
idle_or_work = pytest.mark.parametrize("task", [IDLE, PYTHON, C], ids=["idle", "python", "c"])


@dataclass
class InFlight:
    """A request whose task runs."""

    answer: Future[httpx.Response]
    #: The pool process that runs it.
    process: psutil.Process

    def heard(self) -> httpx.Response | None:
        """Return the answer, or ``None`` when the connection was cut instead."""
        try:
            return self.answer.result(timeout=30)
        except httpx.TransportError:
            return None


Begin = Callable[..., InFlight]


@pytest.fixture(scope="module")
def requests() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


@pytest.fixture(scope="module")
def lasting(tmp_path_factory, requests) -> Iterator[Service]:
    # It ends before the threads do, so that no request keeps them.
    with running(tmp_path_factory.mktemp("service"), **SETTINGS) as service:
        yield service


@pytest.fixture
def begin(service, requests, tmp_path) -> Begin:
    """Send a request and return once its task runs."""
    # The first request starts the pool, which is not what deadlines are set for here.
    whoami(service)

    def send(task: str, seconds: float = LONG, timeout: float = 60) -> InFlight:
        mark = tmp_path / uuid4().hex
        answer = requests.submit(
            httpx.post,
            f"{service.url}/v1/tasks/{task}",
            json={"mark": str(mark), "seconds": seconds},
            headers={"Request-Timeout": f"{timeout:g}"},
            timeout=60,
        )
        wait_until(mark.exists, 20, service.log.read_text)
        return InFlight(answer, psutil.Process(int(mark.read_text())))

    return send


def whoami(service: Service) -> psutil.Process:
    """Run a task and return the process that ran it."""
    answer = httpx.post(f"{service.url}/v1/tasks/whoami", json={}, timeout=30)
    assert answer.status_code == 200, answer.text
    return psutil.Process(answer.json()["result"])


def problem(answer: httpx.Response | None) -> tuple[int, str]:
    assert answer is not None
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"]


class TestOnOneServiceThatLivesOn:
    @pytest.fixture
    def service(self, lasting: Service) -> Service:
        return lasting

    @every_signal
    def test_an_idle_pool_process_is_replaced_unnoticed(self, service, signum):
        workers = service.workers()
        before = whoami(service)

        before.send_signal(signum)

        wait_until(lambda: is_gone(before), 5, lambda: f"{before} lives")
        assert whoami(service) != before
        assert service.workers() == workers

    @every_signal
    @every_work
    def test_a_pool_process_takes_only_its_own_request_along(self, service, begin, signum, task):
        workers = service.workers()
        request, neighbour = begin(task), begin(task, seconds=0.3)

        request.process.send_signal(signum)

        answer = request.heard()
        assert problem(answer) == (500, "/problems/task-crashed")
        assert answer is not None
        assert signum.name in answer.json()["detail"]
        assert neighbour.answer.result().json()["result"] == "done"
        assert whoami(service) != request.process
        assert service.workers() == workers

    @every_signal
    @idle_or_work
    def test_a_worker_takes_its_pool_along_and_is_replaced(self, service, begin, signum, task):
        (worker,) = service.workers()
        # SIGTERM is a worker's graceful stop: it waits for the request's deadline.
        request = begin(task, timeout=1.5 if signum == TERM else 60) if task is not IDLE else None
        below = worker.children(recursive=True)

        worker.send_signal(signum)

        if request is not None:
            answer = request.heard()
            if signum == TERM:
                assert problem(answer) == (504, "/problems/deadline-exceeded")
            else:
                assert answer is None or answer.is_error
        wait_until(lambda: is_gone(worker), 5, service.log.read_text)
        wait_until(lambda: all(map(is_gone, below)), 2, lambda: f"left: {below}")
        assert whoami(service) not in below
        assert worker not in service.workers()
        assert service.listeners() == {service.master, *service.workers()}


class TestOnServicesThatEnd:
    @pytest.fixture
    def service(self, tmp_path) -> Iterator[Service]:
        with running(tmp_path, **SETTINGS) as service:
            yield service

    @pytest.mark.parametrize("who", ["master", "parent"])
    @idle_or_work
    def test_an_abort_takes_everything_along_at_once(self, service, begin, task, who):
        request = begin(task) if task is not IDLE else None

        (service.master if who == "master" else service.parent).send_signal(ABRT)

        assert service.parent.wait(timeout=5) == (128 + ABRT if who == "master" else -ABRT)
        service.assert_gone(within=2)
        assert request is None or request.heard() is None

    @pytest.mark.parametrize(
        ("who", "task"), [("master", IDLE), ("master", PYTHON), ("master", C), ("parent", IDLE)]
    )
    def test_an_interrupt_stops_everything_quickly(self, service, begin, task, who):
        request = begin(task) if task is not IDLE else None

        (service.master if who == "master" else service.parent).send_signal(INT)

        assert service.parent.wait(timeout=5) == 0
        service.assert_gone(within=2)
        if request is not None:
            answer = request.heard()
            assert answer is None or answer.is_error

    @pytest.mark.parametrize("who", ["master", "parent"])
    @every_work
    def test_a_graceful_stop_lets_work_finish_or_reach_its_deadline(self, service, begin, task, who):
        short, long = begin(task, seconds=0.7), begin(task, timeout=1.5)

        (service.master if who == "master" else service.parent).send_signal(TERM)

        assert short.answer.result().json()["result"] == "done"
        assert problem(long.heard()) == (504, "/problems/deadline-exceeded")
        assert service.parent.wait(timeout=10) == 0
        service.assert_gone(within=2)

    def test_a_graceful_stop_of_an_idle_master_is_the_services_own(self, service):
        whoami(service)

        service.master.send_signal(TERM)

        assert service.parent.wait(timeout=10) == 0
        service.assert_gone(within=2)


#: Stays in its import, in a worker, for as long as there is a file "hold".
SLOW_TASKS = """
import os, sys, time
from pathlib import Path
from service.tasks import task

if "gunicorn" in sys.modules:
    Path("importing").touch()
    while Path("hold").exists():
        time.sleep(0.01)
"""

#: The project's configuration with workers that stay where a fork leaves them until they get a signal.
SLOW_FORK = """
import signal, time
from pathlib import Path

exec(compile(Path({path!r}).read_text(), {path!r}, "exec"))
real_post_fork = post_fork

def post_fork(server, worker):
    Path("forked").touch()
    end = time.monotonic() + 10
    while server.SIG_QUEUE.empty() and not signal.sigpending() and time.monotonic() < end:
        time.sleep(0.01)
    real_post_fork(server, worker)
"""

#: Imported by every Python at its start; Gunicorn's stays there until it gets a signal.
SLOW_START = """
import signal, sys, time
from pathlib import Path

if "gunicorn" in sys.orig_argv:
    Path("starting").touch()
    end = time.monotonic() + 10
    while not signal.sigpending() and time.monotonic() < end:
        time.sleep(0.01)
"""


class TestWhileItStarts:
    @pytest.fixture
    def start(self, tmp_path) -> Iterator[Callable[..., Service]]:
        services: list[Service] = []

        def start(*command: str, until: str, **variables: str) -> Service:
            command = command or ("service", "serve")
            services.append(Service(tmp_path, free_port(), command, subprocess.DEVNULL, **variables))
            wait_until((tmp_path / until).exists, 20, services[-1].log.read_text)
            return services[-1]

        yield start
        for service in services:
            service.clean_up()

    @pytest.mark.parametrize("signum", [INT, signal.SIGQUIT, TERM], ids=lambda signum: signum.name)
    def test_a_stop_while_a_worker_imports_its_tasks_is_a_stop(self, start, tmp_path, signum):
        (tmp_path / "slow.py").write_text(SLOW_TASKS)
        (tmp_path / "hold").touch()
        service = start(until="importing", SERVICE_TASK_MODULES="slow", SERVICE_WEB_WORKERS="1")

        service.parent.send_signal(signum)

        # Only the graceful stop waits for the import.
        if signum == TERM:
            wait_until(lambda: "Handling signal: term" in service.log.read_text(), 5, service.log.read_text)
            (tmp_path / "hold").unlink()
        assert service.parent.wait(timeout=5) == 0, service.log.read_text()
        service.assert_gone(within=2)
        assert "Traceback" not in service.log.read_text()

    @every_signal
    def test_a_worker_that_gets_one_while_it_imports_its_tasks_is_replaced(self, start, tmp_path, signum):
        (tmp_path / "slow.py").write_text(SLOW_TASKS)
        (tmp_path / "hold").touch()
        service = start(until="importing", SERVICE_TASK_MODULES="slow", SERVICE_WEB_WORKERS="1")
        (worker,) = service.workers()

        worker.send_signal(signum)
        (tmp_path / "hold").unlink()

        wait_until(lambda: is_gone(worker), 5, service.log.read_text)
        service.wait_until_ready()
        assert service.parent.poll() is None

    @pytest.mark.parametrize("signum", [INT, TERM], ids=lambda signum: signum.name)
    def test_a_worker_that_was_only_just_forked_hears_it(self, start, tmp_path, signum):
        (tmp_path / "slow.conf.py").write_text(SLOW_FORK.format(path=f"{ROOT}/gunicorn.conf.py"))
        command = ("gunicorn", "-c", "slow.conf.py", "service.app:create_app()")
        service = start(*command, until="forked", SERVICE_WEB_WORKERS="1")

        service.parent.send_signal(signum)

        assert service.parent.wait(timeout=10) == 0, service.log.read_text()
        service.assert_gone(within=2)

    @pytest.mark.parametrize("signum", [INT, TERM], ids=lambda signum: signum.name)
    def test_a_master_that_only_just_starts_hears_it(self, start, tmp_path, signum):
        (tmp_path / "sitecustomize.py").write_text(SLOW_START)
        service = start(until="starting", SERVICE_WEB_WORKERS="1")

        service.parent.send_signal(signum)

        assert service.parent.wait(timeout=10) == 0, service.log.read_text()
        service.assert_gone(within=2)
        assert "Traceback" not in service.log.read_text()
