"""``python -m service``: what its commands print and exit with."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def service(tmp_path):
    """Run a command in an empty folder that also holds the task modules of the test."""

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("command", [(), ("serve",), ("check",), ("tasks",), ("keys",), ("keys", "new")])
def test_each_command_explains_itself(service, command):
    result = service(*command, "--help")

    assert result.returncode == 0
    assert "Usage: python -m service" in result.stdout


def test_check_prints_values_and_where_they_come_from(service, tmp_path):
    (tmp_path / ".env").write_text("SERVICE_QUEUE_LIMIT=5\n")

    result = service(
        "check", SERVICE_WEB_THREADS="3", SERVICE_MEMORY_LIMIT="1GiB", SERVICE_TASK_MODULES="json"
    )

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["SERVICE_WEB_THREADS"] == ["3", "environment"]
    assert rows["SERVICE_QUEUE_LIMIT"] == ["5", ".env"]
    assert rows["SERVICE_BIND"] == ["127.0.0.1:8000", "default"]
    assert rows["SERVICE_MEMORY_LIMIT"] == ["1.0GiB", "environment"]
    assert rows["SERVICE_TASK_MODULES"] == ["json", "environment"]
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "tasks", "serve"])
def test_a_wrong_setting_is_explained(service, command):
    result = service(command, SERVICE_WEB_THREADS="many")

    assert result.returncode == 2
    assert result.stderr.startswith("error: SERVICE_WEB_THREADS='many'")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["check", "tasks", "serve"])
@pytest.mark.parametrize(
    ("source", "line", "cause"),
    [
        ("\n\nimport no_such_library\n", 3, "ModuleNotFoundError"),
        ("def f(:\n", 1, "SyntaxError"),
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError"),
    ],
)
def test_a_broken_task_module_is_named_with_file_and_line(service, tmp_path, command, source, line, cause):
    (tmp_path / "mytasks.py").write_text(source)

    result = service(command, SERVICE_TASK_MODULES="mytasks")

    assert result.returncode == 2
    assert f"{tmp_path}/mytasks.py:{line}: {cause}" in result.stderr
    assert "Traceback" not in result.stderr


def test_tasks_lists_the_newcomers_task_beside_the_built_in_ones(service, tmp_path):
    (tmp_path / "mytasks.py").write_text(
        "from __future__ import annotations\n"
        "from typing import Annotated\n"
        "from pydantic import Field\n"
        "from service.tasks import task\n"
        "@task(timeout=2.5, cpu=0)\n"
        "def double(x: Annotated[int, Field(ge=0)], times: int = 1) -> int:\n"
        '    """Twice as much.\n\n    Or more.\n    """\n'
        "    return 2 * x * times\n",
    )

    result = service("tasks", SERVICE_TASK_MODULES="mytasks")

    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in result.stdout.splitlines()}
    assert rows["double"] == ["x: int, times: int = 1", "0", "2.5", "Twice as much."]
    assert "sum_of_squares" in rows


def test_a_new_key_and_its_line_belong_together(service):
    result = service("keys", "new", "alice", "--concurrency", "4", "--per-minute", "60")

    text, line = result.stdout.splitlines()
    (key,) = keys.parse(line)
    assert keys.find([key], text.encode()) is key
    assert (key.name, key.concurrency, key.per_minute) == ("alice", 4, 60)
    assert [label[:4] for label in result.stderr.splitlines()] == ["key,", "line"]


@pytest.mark.parametrize(
    "arguments", [("a b",), ("..",), ("alice", "--per-minute", "0"), ("alice", "--concurrency", "1001"), ()]
)
def test_a_key_that_could_not_be_read_again_is_not_made(service, arguments):
    result = service("keys", "new", *arguments)

    assert result.returncode == 2
    assert result.stdout == ""


def test_check_does_not_show_keys(service):
    _, key = keys.new("alice")

    result = service("check", SERVICE_API_KEYS=key.line())

    assert re.search(r"^SERVICE_API_KEYS +\(hidden\) +environment$", result.stdout, re.MULTILINE)
    assert key.hash.hex() not in result.stdout + result.stderr
