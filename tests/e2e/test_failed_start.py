"""A service that can't start says why, ends, and leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.e2e.running import GUNICORN, Service, free_port, is_gone, wait_until

#: Imported by every worker, it fails in all of them as soon as there is a file called "go".
BROKEN = """
import os, time
from pathlib import Path

Path(f"imports-{os.getpid()}").touch()
while not Path("go").exists():
    time.sleep(0.01)
raise RuntimeError("this version is broken")
"""

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Service]:
    """Start a service whose two workers import a module that will fail."""
    (tmp_path / "broken_tasks.py").write_text(BROKEN)
    settings = {
        "SERVICE_TASK_MODULES": "broken_tasks",
        "SERVICE_WEB_WORKERS": "2",
        "SERVICE_RUNTIME_DIR": str(tmp_path / "run"),
        "SERVICE_LOG_FORMAT": "json",
    }
    service = Service(tmp_path, free_port(), GUNICORN, subprocess.DEVNULL, **settings)
    try:
        wait_until(lambda: len(list(tmp_path.glob("imports-*"))) == 2, 30, service.log.read_text)
        yield service
    finally:
        service.clean_up()


def test_workers_that_fail_at_once_end_the_server_as_one_does(importing: Service, tmp_path: Path) -> None:
    """Gunicorn's own master, on its way down for the first, would fall over the second."""
    master, workers = importing.master, importing.workers()
    assert files_below(tmp_path / "run"), "what it should remove"
    master.suspend()
    (tmp_path / "go").touch()
    for worker in workers:
        wait_until(partial(is_gone, worker), 20, importing.log.read_text)
    assert {worker.status() for worker in workers} == {psutil.STATUS_ZOMBIE}
    master.resume()

    status = importing.parent.wait(20)

    said = importing.log.read_text()
    assert status == 3, said
    assert said.count("broken_tasks.py:8: RuntimeError: this version is broken\n") == 2, said
    assert "Reason: Worker failed to boot." in said
    assert not [line for line in said.splitlines() if line.startswith("Traceback")], said
    assert not files_below(tmp_path / "run")
    importing.assert_gone(within=5)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
