"""A resource in a running service: not ready before it is loaded, and loaded anew at a reload."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import Service, wait_until

MODULE = '''
import time
from pathlib import Path
from service.tasks import resource, task

FOLDER = Path(__file__).parent

@resource
def model():
    with (FOLDER / "loads").open("a") as file:
        file.write("x")
    while (FOLDER / "slow").exists():
        time.sleep(0.01)
    return (FOLDER / "model").read_text()

@task
def ask() -> str:
    """Tell what the model is."""
    return model()
'''


@pytest.fixture
def start(serve: Callable[..., Service], tmp_path: Path) -> Callable[[], Service]:
    (tmp_path / "heavytasks.py").write_text(MODULE)
    (tmp_path / "model").write_text("first")
    # A runner would load it, too.
    return lambda: serve(SERVICE_TASK_MODULES="heavytasks", SERVICE_WEB_WORKERS="2", SERVICE_RUNNERS="0")


def engine_state(service: Service) -> tuple[int, str]:
    answer = httpx.get(f"{service.url}/readyz")
    return answer.status_code, answer.json()["checks"]["engine"]


def ask(service: Service) -> str:
    return str(httpx.post(f"{service.url}/v1/tasks/ask", json={}, timeout=30).json().get("result"))


def test_the_service_is_alive_while_it_loads_and_ready_when_it_has(
    start: Callable[[], Service], tmp_path: Path
) -> None:
    (tmp_path / "slow").touch()
    service = start()
    assert engine_state(service) == (503, "loading")

    (tmp_path / "slow").unlink()
    wait_until(
        lambda: {engine_state(service) for _ in range(10)} == {(200, "running")}, 30, service.log.read_text
    )
    # Each worker loads it, before any call
    wait_until(lambda: (tmp_path / "loads").read_text() == "xx", 30, service.log.read_text)
    assert ask(service) == "first"
    assert (tmp_path / "loads").read_text() == "xx"


def test_a_reload_loads_it_anew_and_a_broken_one_is_refused(
    start: Callable[[], Service], tmp_path: Path
) -> None:
    service = start()
    assert ask(service) == "first"

    (tmp_path / "model").write_text("second")
    service.parent.send_signal(signal.SIGHUP)
    wait_until(lambda: {ask(service) for _ in range(5)} == {"second"}, 30, service.log.read_text)

    # Both new workers have it, and the check before them had: the first two loads were the old workers'
    wait_until(lambda: len((tmp_path / "loads").read_text()) == 5, 30, service.log.read_text)
    wait_until(
        lambda: {engine_state(service) for _ in range(20)} == {(200, "running")}, 30, service.log.read_text
    )

    (tmp_path / "model").unlink()
    service.parent.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload refused" in service.log.read_text(), 30, service.log.read_text)
    assert "model can't be loaded: FileNotFoundError" in service.log.read_text()
    assert ask(service) == "second"
