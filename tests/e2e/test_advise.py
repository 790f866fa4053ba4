"""``python -m service advise`` on real tasks: what it prints, and that nothing of it is left."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.running import ROOT, Service, wait_until

ENGINE = {"first", "another", "round_trip", "map_rate", "array_rate", "array_size"}
TASK = {"run", "share", "overhead", "growth", "peak", "arguments_size", "result_size", "paces"}
SUBJECTS = [
    "slots of a call",
    "timeout",
    "parallel",
    "chunk",
    "capacity",
    "CPU slots",
    "pool processes",
    "memory",
]


@pytest.fixture
def advise(tmp_path):
    """Start the command in an empty folder; end whatever is left of it with the test."""
    started: list[Service] = []

    def start(*arguments: str, **variables: str) -> Service:
        # One that is killed leaves its temporary files.
        (tmp_path / "tmp").mkdir(exist_ok=True)
        variables = {"TMPDIR": str(tmp_path / "tmp"), **variables}
        service = Service(tmp_path, 0, ("service", "advise", *arguments), subprocess.DEVNULL, **variables)
        started.append(service)
        return service

    yield start
    for service in started:
        service.clean_up()


def ended(service: Service, within: float = 50) -> str:
    """Wait for the command to end, and for all that it has started; return what it printed."""
    wait_until(lambda: service.parent.poll() is not None, within, service.log.read_text)
    # What hangs on it is gone a moment later; a server that still imports, when it has done so.
    wait_until(lambda: not service.processes(), 5, lambda: f"left: {service.processes()}")
    return service.log.read_text()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "log")


def test_it_measures_a_task_and_leaves_nothing(advise, tmp_path):
    command = advise(
        *("sum_of_squares", "--args", '{"n": 20000}', "--items", "50", "--seconds", "20", "--json"),
        SERVICE_CPU_SLOTS="1",
    )

    document = json.loads(ended(command))

    assert command.parent.returncode == 0
    assert document["engine"].keys() == ENGINE
    assert 0 < document["engine"]["round_trip"]["median"] < document["engine"]["first"]
    assert document["machine"]["usable"] >= 1
    assert document["task"].keys() > TASK
    assert document["task"]["run"]["count"] >= 1
    assert document["task"]["share"] > 0.5
    assert [pace["slots"] for pace in document["task"]["paces"]] in ([], [1])
    # A busy machine may have had no time for a server.
    assert (document["web"] is None) == (document["web_missing"] is not None)
    assert [each["subject"] for each in document["advice"]][:8] == SUBJECTS
    assert all(each["because"] for each in document["advice"])
    # Neither here, where a service would have its folder, nor among the temporary files.
    assert left_in(tmp_path) == ["tmp"]
    assert left_in(tmp_path / "tmp") == []


def test_it_measures_the_machine_alone(advise):
    text = ended(advise("--seconds", "3"))

    for line in ("this machine\n", "round trip", "map of no-ops", "advice\n  CPU slots (SERVICE_CPU_SLOTS)"):
        assert line in text


MYTASKS = """
import os, time
from service.tasks import task

@task(cpu=0)
def advised_wait(seconds: float) -> bytes:
    time.sleep(seconds)
    return b"x" * 1000

@task
def advised_failure(kind: str) -> int:
    if kind == "crash":
        os.abort()
    raise ValueError("never again")
"""


class TestTasksOfOnesOwn:
    @pytest.fixture(autouse=True)
    def _module(self, tmp_path):
        (tmp_path / "mytasks.py").write_text(MYTASKS)

    def run(self, advise, *arguments):
        command = advise(*arguments, SERVICE_TASK_MODULES="mytasks")
        return command.parent, ended(command)

    def test_one_that_waits_is_told_from_one_that_computes(self, advise):
        _, text = self.run(advise, "advised_wait", "--args", '{"seconds": 0.02}', "--seconds", "8", "--json")

        document = json.loads(text)
        assert document["task"]["share"] < 0.2
        assert document["advice"][0]["value"] == 0
        assert document["task"]["result_json"] == 1000

    @pytest.mark.parametrize(
        ("name", "args", "said"),
        [
            ("advised_failure", '{"kind": "error"}', "fails with these arguments: ValueError: never again"),
            ("advised_failure", '{"kind": "crash"}', "the process that ran the call died by SIGABRT"),
            ("advised_wait", '{"seconds": 60}', "allow more by --seconds, or give it less to do"),
        ],
    )
    def test_one_that_gives_nothing_to_measure_is_explained(self, advise, name, args, said):
        parent, text = self.run(advise, name, "--args", args, "--seconds", "8")

        assert parent.returncode == 1
        assert text.splitlines()[-1].startswith(f"error: {name!r} ")
        assert said in text


class TestStopped:
    """Whatever it is at, it ends soon, and so does all that it has started."""

    @pytest.fixture(params=["in a call", "in a server"])
    def at_work(self, request, advise: Callable[..., Service]) -> Service:
        if request.param == "in a call":
            args = '{"message": "so long", "duration": 300}'
            command = advise("background_task", "--args", args, "--seconds", "30")
            ready = lambda: "Background task started" in command.log.read_text()  # noqa: E731
        else:
            command = advise("--seconds", "30")
            ready = lambda: any("gunicorn" in _command(each) for each in command.processes())  # noqa: E731
        wait_until(ready, 40, lambda: f"{command.processes()}, {command.log.read_text()}")
        return command

    @pytest.mark.parametrize(
        ("signum", "status"),
        [(signal.SIGINT, 1), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
        ids=lambda value: getattr(value, "name", None),
    )
    def test_by_a_signal(self, at_work, signum, status):
        begun = time.monotonic()
        at_work.parent.send_signal(signum)

        text = ended(at_work, within=5)

        assert at_work.parent.returncode == status
        assert time.monotonic() - begun < 2
        assert "Traceback" not in text


def test_progress_is_told_on_a_terminal_only(tmp_path):
    ours, terminal = pty.openpty()
    arguments = ("process_data", "--args", '{"item": 1}', "--seconds", "8")
    try:
        command = subprocess.run(
            [sys.executable, "-m", "service", "advise", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=terminal,
            check=True,
        )
        said = os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(terminal)

    assert b"measuring: process_data: calls, one after another" in said
    assert b"measuring: " not in command.stdout


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
