"""Processes are replaced under load: by a reload, by a signal, by age. No client notices."""

import http.client
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from time import sleep

import httpx
import psutil
import pytest

from tests.e2e.running import GUNICORN, Service, is_gone, wait_until
from tests.e2e.steady_load import Load, write_tasks

SERVE = ("service", "serve")

SETTINGS = {
    "SERVICE_TASK_MODULES": "steady_tasks",
    "SERVICE_WEB_WORKERS": "2",
    "SERVICE_CPU_SLOTS": "2",
    # A busy machine is no reason to refuse a stream, or whoever waits in line.
    "SERVICE_POOL_PROCESSES": "16",
    "SERVICE_QUEUE_TIMEOUT": "25",
}

#: Put behind the tasks of a new version, it has that version wait for a file called "go".
WAIT = """
from pathlib import Path
def wait_until_it_may():
    while not Path("go").exists():
        time.sleep(0.01)
"""
JSON = {"Accept": "application/json"}

HELD_UP = {
    "import": f"{WAIT}\nwait_until_it_may()\n",
    "resource": f"{WAIT}\nfrom service.tasks import resource\nlate = resource(wait_until_it_may)\n",
}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def start(serve: Callable[..., Service], tmp_path) -> Callable[..., Service]:
    """Start a service with the first version of the tasks."""
    write_tasks(tmp_path, 1)
    return lambda *command, **settings: serve(*command, **{**SETTINGS, **settings})


def web_workers(service: Service) -> set[psutil.Process]:
    return {worker for worker in service.workers() if not is_gone(worker)}


def are_renewed(service: Service, before: set[psutil.Process]) -> bool:
    now = web_workers(service)
    return len(now) == len(before) and not now & before


def version(service: Service) -> int:
    answer = httpx.post(f"{service.url}/v1/tasks/versions", json={"n": 0}, timeout=30)
    return int(answer.json()["result"][0])


class TestReload:
    @pytest.mark.parametrize("command", [SERVE, GUNICORN], ids=["serve", "gunicorn"])
    def test_no_request_fails_and_the_last_version_answers(self, start, tmp_path, command):
        # Jobs need a runner, which Gunicorn alone does not start.
        service = start(*command)
        first = set(service.processes())
        with Load(service, jobs=command is SERVE) as load:
            workers = web_workers(service)
            write_tasks(tmp_path, 2)
            service.parent.send_signal(signal.SIGHUP)
            wait_until(lambda: are_renewed(service, workers), 60, service.log.read_text)
            load.wait_for_answers()

            # The last one comes while the one before is under way.
            workers = web_workers(service)
            write_tasks(tmp_path, 3)
            service.parent.send_signal(signal.SIGHUP)
            wait_until(lambda: web_workers(service) > workers, 30, service.log.read_text)
            workers = web_workers(service)
            write_tasks(tmp_path, 4)
            service.parent.send_signal(signal.SIGHUP)
            wait_until(lambda: service.log.read_text().count("Handling signal: hup") == 3, 60, str)
            wait_until(lambda: not workers & web_workers(service), 60, service.log.read_text)
            load.wait_for_answers()

        load.check()
        assert {1, 2, 4} <= set(load.versions), load.versions
        assert {version(service) for _ in range(5)} == {4}
        assert len(web_workers(service)) == 2
        # serve and Gunicorn's master stay. All others are gone, with all that hung on them.
        stay = {psutil.Process(service.parent.pid)} | ({service.master} if command is SERVE else set())
        wait_until(lambda: all(map(is_gone, first - stay)), 20, lambda: str(first))

    @pytest.mark.parametrize("held_up", HELD_UP)
    def test_the_old_workers_serve_until_a_new_one_can(self, start, tmp_path, held_up):
        service = start(*GUNICORN, SERVICE_WEB_WORKERS="1")
        before = web_workers(service)
        # It has had nothing to do, and has this version all the same.
        ready = lambda: httpx.get(f"{service.url}/readyz").status_code == 200  # noqa: E731
        wait_until(ready, 30, service.log.read_text)
        write_tasks(tmp_path, 2, HELD_UP[held_up])

        service.parent.send_signal(signal.SIGHUP)

        wait_until(lambda: web_workers(service) > before, 10, service.log.read_text)
        assert {version(service) for _ in range(20)} == {1}
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        (tmp_path / "go").touch()
        wait_until(lambda: are_renewed(service, before), 30, service.log.read_text)
        assert {version(service) for _ in range(5)} == {2}

    def test_workers_that_are_told_twice_do_not_wait(self, start, tmp_path):
        service = start(*GUNICORN, SERVICE_WEB_WORKERS="1")
        before = web_workers(service)
        write_tasks(tmp_path, 2, HELD_UP["resource"])
        service.parent.send_signal(signal.SIGHUP)
        wait_until(lambda: web_workers(service) > before, 10, service.log.read_text)

        def tell_again() -> bool:
            for worker in before & web_workers(service):
                worker.terminate()
            return are_renewed(service, before)

        wait_until(tell_again, 20, service.log.read_text)
        # The new one takes connections then, although it is not ready for work.
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        assert httpx.get(f"{service.url}/readyz").json()["checks"]["engine"] == "loading"


class TestWorkers:
    def test_one_that_is_told_to_stop_breaks_no_request(self, start):
        service = start()
        with Load(service) as load:
            for _ in range(3):
                workers = web_workers(service)
                ended = min(workers, key=lambda worker: worker.create_time())
                ended.terminate()
                wait_until(partial(is_gone, ended), 30, service.log.read_text)
                wait_until(lambda: len(web_workers(service)) == 2, 30, service.log.read_text)
                load.wait_for_answers()

        load.check()

    def test_old_age_breaks_no_request(self, start):
        """Gunicorn's own way to replace workers, which the settings leave off."""
        service = start(GUNICORN_CMD_ARGS="--max-requests 40 --max-requests-jitter 20")
        before = web_workers(service)
        with Load(service) as load:
            wait_until(lambda: are_renewed(service, before), 60, service.log.read_text)
            before = web_workers(service)
            wait_until(lambda: are_renewed(service, before), 60, service.log.read_text)

        load.check()
        assert "Autorestarting worker" in service.log.read_text()

    def test_recycled_pool_processes_break_no_request(self, start):
        service = start(SERVICE_POOL_RECYCLE_CALLS="3")
        seen: set[psutil.Process] = set()

        def many_have_come_and_gone() -> bool:
            seen.update(service.pool_processes())
            return sum(map(is_gone, seen)) >= 30

        with Load(service) as load:
            wait_until(many_have_come_and_gone, 60, lambda: str(seen))

        load.check()


class TestStop:
    @pytest.fixture
    def ask(self):
        """Send requests for ``/healthz``, each on a connection of its own, and return the connections."""
        with ExitStack() as connections:

            def send(service: Service, count: int) -> list[http.client.HTTPConnection]:
                made = [
                    connections.enter_context(
                        closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=20))
                    )
                    for _ in range(count)
                ]
                for connection in made:
                    connection.request("GET", "/healthz")
                return made

            yield send

    def test_who_has_connected_is_answered(self, start, ask):
        service = start(SERVICE_WEB_WORKERS="1")
        (worker,) = web_workers(service)
        worker.suspend()
        connections = ask(service, 5)

        # All of them wait to be accepted, and the worker hears of its end before it can accept one.
        worker.terminate()
        service.parent.send_signal(signal.SIGTERM)
        worker.resume()

        for connection in connections:
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Connection")) == (200, "close")
        assert service.parent.wait(timeout=10) == 0

    def test_others_are_refused_at_once_while_the_last_answers_are_made(self, start):
        service = start()
        with ThreadPoolExecutor() as clients:
            url = f"{service.url}/v1/tasks/count_up"
            answer = clients.submit(httpx.post, url, json={"until": 150}, headers=JSON, timeout=60)
            wait_until(lambda: bool(service.pool_processes()), 20, service.log.read_text)

            service.parent.send_signal(signal.SIGTERM)

            wait_until(lambda: not _connects(service), 2.5, service.log.read_text)
            assert not answer.done()
            assert answer.result().json()["result"] == list(range(150))
        assert service.parent.wait(timeout=10) == 0

    def test_a_connection_may_be_idle_for_as_long_as_ever(self, start, ask):
        service = start()
        (connection,) = ask(service, 1)
        assert connection.getresponse().read()

        service.parent.send_signal(signal.SIGTERM)
        sleep(3)  # longer than Gunicorn's own worker would have left it open, shorter than its keepalive
        connection.request("GET", "/healthz")

        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (200, "close")
        assert service.parent.wait(timeout=10) == 0


def _connects(service: Service) -> bool:
    try:
        os.close(socket.create_connection(("127.0.0.1", service.port), timeout=5).detach())
    except (ConnectionRefusedError, ConnectionResetError):  # the latter as it is being closed
        return False
    return True
