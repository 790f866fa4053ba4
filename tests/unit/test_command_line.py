"""``python -m service``: what its commands print and exit with."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from service import keys
from service.__main__ import main

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


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, *path, name)


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_command_and_each_of_its_options_is_explained(path, option):
    result = CliRunner().invoke(main, [*path, option])

    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    words = " ".join(result.output.split())
    assert (result.exit_code, words[:7]) == (0, "Usage: ")
    assert command.help
    assert " ".join(command.help.split()) in words
    assert all(each.help for each in command.params if isinstance(each, click.Option))


def test_it_is_a_program(service):
    said = service("--help").stdout
    assert said.startswith("Usage: python -m service [OPTIONS] COMMAND")
    assert re.search("^  tasks +List the registered tasks and pipelines.$", said, re.MULTILINE)


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
    assert re.search(
        "^all is well; tasks: [1-9][0-9]*, pipelines: [1-9], resources: 0$", result.stdout, re.MULTILINE
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("command", ["check", "tasks", "serve", "runner"])
def test_a_wrong_setting_is_explained(service, command):
    result = service(command, SERVICE_WEB_THREADS="many")

    assert result.returncode == 2
    assert result.stderr.startswith("error: SERVICE_WEB_THREADS='many'")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["check", "tasks", "serve", "runner"])
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

    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in result.stdout.splitlines() if line}
    assert rows["double"] == ["x: int, times: int = 1", "0", "2.5", "Twice as much."]
    assert "sum_of_squares" in rows


PIPELINE = """
from collections.abc import Iterator
from service.tasks import Pipeline, Stage

def count(n: int, start: int = 1) -> Iterator[int]:
    \"\"\"Count to n.\"\"\"
    yield from range(start, n)

def double(number: int) -> int:
    return 2 * number

def total(numbers: Iterator[int]) -> int:
    return sum(numbers)

Pipeline("doubled", count, Stage(double, processes=3), total, timeout=9)
"""


def test_tasks_lists_pipelines_with_their_stages(service, tmp_path):
    (tmp_path / "mypipeline.py").write_text(PIPELINE)

    result = service("tasks", SERVICE_TASK_MODULES="mypipeline")

    tasks, pipelines = result.stdout.split("\n\n")
    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in pipelines.splitlines()}
    assert rows["doubled"] == ["n: int, start: int = 1", "count > double x3 > total", "9", "Count to n."]
    assert "doubled" not in tasks


@pytest.mark.parametrize("command", ["check", "serve", "runner"])
def test_a_pipeline_that_is_too_large_for_the_pool_is_refused(service, tmp_path, command):
    (tmp_path / "mypipeline.py").write_text(PIPELINE)

    result = service(command, SERVICE_TASK_MODULES="mypipeline", SERVICE_POOL_PROCESSES="4")

    assert result.returncode == 2
    said = "pipeline 'doubled': its steps have 5 processes, and SERVICE_POOL_PROCESSES is 4"
    assert f"{tmp_path}/mypipeline.py:5: {said}" in result.stderr


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


@pytest.mark.parametrize("command", ["check", "serve", "runner"])
def test_what_jobs_can_not_be_had_with_is_explained_before_anything_starts(service, command):
    result = service(
        command,
        SERVICE_DATABASE_URL="postgresql://me:open%sesame@localhost/jobs",
        SERVICE_WEBHOOK_SECRET="open sesame",
        SERVICE_WEBHOOK_ALLOW="10.0.0.0/8,hooks.internal:80",
    )

    assert (result.returncode, result.stdout) == (2, "")
    for cause in (
        "SERVICE_DATABASE_URL=(hidden): it is not of the form postgresql://user:password@host:port/name",
        "SERVICE_WEBHOOK_SECRET=(hidden): a webhook secret needs at least 24 bytes",
        "SERVICE_WEBHOOK_ALLOW='10.0.0.0/8,hooks.internal:80': 'hooks.internal:80' is none of",
    ):
        assert cause in result.stderr
    assert not re.search("sesame|Traceback", result.stderr)


def test_check_does_not_show_where_jobs_are_kept_and_what_webhooks_are_signed_with(service, tmp_path):
    (tmp_path / "url").write_text("postgresql://me:open-sesame@localhost/jobs\n")

    result = service(
        "check", SERVICE_DATABASE_URL_FILE="url", SERVICE_WEBHOOK_SECRET="open-sesame-open-sesame-open"
    )

    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["SERVICE_DATABASE_URL"] == rows["SERVICE_WEBHOOK_SECRET"] == ["(hidden)", "environment"]
    assert (result.returncode, result.stderr) == (0, "")
    assert "sesame" not in result.stdout


def test_spans_need_opentelemetry_and_a_url(service, tmp_path):
    address = "http://127.0.0.1:4318/v1/traces"
    assert service("check", SERVICE_TRACES_ENDPOINT=address).returncode == 0
    wrong = service("check", SERVICE_TRACES_ENDPOINT="collector:4318")
    assert (wrong.returncode, "such as http://collector:4318/v1/traces" in wrong.stderr) == (2, True)

    # As where it is not installed.
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()

    lacking = service("check", SERVICE_TRACES_ENDPOINT=address)
    assert (lacking.returncode, "make tracing" in lacking.stderr) == (2, True)
    assert "Traceback" not in lacking.stderr
    assert service("check").returncode == 0
