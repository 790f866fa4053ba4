"""API keys and their limits, with real workers: exact across them, and nothing is lost with one."""

import json
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service import keys
from tests.e2e.running import Service, wait_until

ALICE, ALICES = keys.new("alice", per_minute=20)
BOB, BOBS = keys.new("bob", concurrency=3)
URL = "/v1/tasks/wait"

TASKS = '''
import os, time
from pathlib import Path
from service.tasks import task

@task(cpu=0)
def wait(seconds: float) -> int:
    """Wait."""
    Path(f"started-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    return os.getppid()
'''


@pytest.fixture
def service(serve: Callable[..., Service], tmp_path: Path) -> Service:
    (tmp_path / "mytasks.py").write_text(TASKS)
    (tmp_path / "keys").write_text(f"# who may call\n{ALICES.line()}\n{BOBS.line()}\n")
    return serve(
        SERVICE_API_KEYS_FILE=str(tmp_path / "keys"),
        SERVICE_TASK_MODULES="mytasks",
        SERVICE_WEB_WORKERS="2",
        SERVICE_REQUEST_TIMEOUT="30",
    )


def ask(service: Service, key: str, seconds: float = 0) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    # A connection of its own, for either worker to take.
    return httpx.post(f"{service.url}{URL}", json={"seconds": seconds}, headers=headers, timeout=60)


def started(folder: Path) -> int:
    return len(list(folder.glob("started-*")))


def test_exactly_as_many_pass_in_a_minute_as_may(service: Service) -> None:
    # When three times as many requests as may pass come at once to two workers
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: ask(service, ALICE), range(60)))

    # Then exactly as many pass as may
    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 40}
    # And each of the others is told when to come again
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.json()["type"] for answer in refused} == {"/problems/rate-limited"}
    assert all(40 < int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    # And both workers were asked: each has a fork server of its own
    assert len({answer.json()["result"] for answer in answers if answer.status_code == 200}) == 2


def test_exactly_as_many_run_at_once_as_may(service: Service, tmp_path: Path) -> None:
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: ask(service, BOB, 2), range(12)))

    assert Counter(answer.status_code for answer in answers) == {200: 3, 429: 9}
    assert started(tmp_path) == 3
    # And when they have ended, there is room again
    assert ask(service, BOB).status_code == 200


def test_a_killed_worker_keeps_no_place(service: Service, tmp_path: Path) -> None:
    # Given a key with as many requests in progress as it may have
    with ThreadPoolExecutor(3) as clients:
        lost = [clients.submit(ask, service, BOB, 20) for _ in range(3)]
        wait_until(lambda: started(tmp_path) == 3, 20, service.log.read_text)
        assert ask(service, BOB).status_code == 429

        # When all workers are killed
        for worker in service.workers():
            worker.send_signal(signal.SIGKILL)

        # Then their requests are lost, and their places are not
        assert all(isinstance(future.exception(), httpx.TransportError) for future in lost)
    wait_until(lambda: _status(service) == 200, 10, service.log.read_text)


def test_a_client_that_goes_away_gives_its_place_back(service: Service, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {BOB}"}
    before = _asked(service)
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{service.url}{URL}", json={"seconds": 1}, headers=headers, timeout=0.3)
    wait_until(lambda: _asked(service) == before + 3, 10, service.log.read_text)

    assert [ask(service, BOB).status_code for _ in range(4)] == [200] * 4


def _asked(service: Service) -> int:
    """Count the requests that are over: each has a line in the log then."""
    return service.log.read_text().count(f'"path": "{URL}"')


def test_the_log_names_who_asked_and_holds_no_key(service: Service) -> None:
    ask(service, BOB)
    ask(service, "everycore_unknown")

    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    asked = [line for line in lines if line.get("path") == URL]
    assert [line.get("key") for line in asked] == ["bob", None]
    assert BOB not in service.log.read_text()
    assert BOBS.hash.hex() not in service.log.read_text()


def test_a_reload_takes_keys_away_and_gives_new_ones(service: Service, tmp_path: Path) -> None:
    carol, carols = keys.new("carol")
    before = service.workers()
    (tmp_path / "keys").write_text(carols.line())

    service.parent.send_signal(signal.SIGHUP)

    wait_until(lambda: not set(before) & set(service.workers()), 20, service.log.read_text)
    wait_until(lambda: ask(service, carol).status_code == 200, 10, service.log.read_text)
    assert ask(service, BOB).status_code == 401


def _status(service: Service) -> int:
    try:
        return ask(service, BOB).status_code
    except httpx.TransportError:
        return 0
