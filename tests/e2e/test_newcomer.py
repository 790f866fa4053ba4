"""A newcomer's tasks: a package outside the project, named in ``SERVICE_TASK_MODULES``, and nothing else."""

import os
import signal
import subprocess
import sys

import httpx
import pytest

from tests.e2e.running import ROOT, free_port, running, wait_until

TASKS = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from orchard.weights import of
from service.tasks import InvalidInput, task


@dataclass
class Crate:
    fruit: str
    pieces: Annotated[int, Field(ge=1)] = 1


@task()
def weigh(crates: list[Crate], currency: str | None = None) -> dict[str, float]:
    """Kilograms of each kind of fruit."""
    if len({crate.fruit for crate in crates}) < len(crates):
        raise InvalidInput("one crate of each kind, please")
    return {crate.fruit: crate.pieces * of(crate.fruit) for crate in crates}
'''

WEIGHTS = """
def of(fruit):
    return {"apple": 0.25, "melon": 2.0}[fruit]
"""

ANOTHER_TASK = '''

@task()
def lightest() -> str:
    """Which fruit weighs least."""
    return min(("apple", "melon"), key=of)
'''


@pytest.fixture
def orchard(tmp_path):
    """A package of the newcomer's own, with a helper module."""
    package = tmp_path / "orchard"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "weights.py").write_text(WEIGHTS)
    (package / "tasks.py").write_text(TASKS)
    return package


def test_a_package_of_ones_own_is_served(tmp_path, orchard):
    with running(tmp_path, SERVICE_TASK_MODULES="orchard.tasks", SERVICE_WEB_WORKERS="1") as service:
        weigh = f"{service.url}/v1/tasks/weigh"

        def ask(*crates) -> httpx.Response:
            return httpx.post(weigh, json={"crates": crates})

        answer = ask({"fruit": "apple", "pieces": 4}, {"fruit": "melon"})
        assert answer.status_code == 200
        assert answer.json()["result"] == {"apple": 1.0, "melon": 2.0}

        # The type hints are the contract, and every mistake is told at once.
        refused = ask({"fruit": "apple", "pieces": 0}, {"fruit": 3})
        assert refused.status_code == 422
        assert [error["loc"] for error in refused.json()["errors"]] == [
            ["crates", 0, "pieces"],
            ["crates", 1, "fruit"],
        ]
        assert (
            ask({"fruit": "apple"}, {"fruit": "apple"}).json()["detail"] == "one crate of each kind, please"
        )

        described = httpx.get(weigh).json()
        assert described["description"] == "Kilograms of each kind of fruit."
        assert "crates" in described["arguments"]["required"]

        # A second task, and a reload.
        before = service.workers()
        (orchard / "tasks.py").write_text(TASKS + ANOTHER_TASK)
        service.parent.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(before) & set(service.workers()), 20, service.log.read_text)
        assert httpx.post(f"{service.url}/v1/tasks/lightest", json={}).json()["result"] == "apple"


HEAD = "from service.tasks import task\n"

WRONG_TYPE = HEAD + "\n@task()\ndef weigh(crate: Crate) -> int:\n    return 1\n"
NO_TYPE = HEAD + "\n@task()\ndef weigh(crate) -> int:\n    return 1\n"
STARRED = HEAD + "\n@task()\ndef weigh(*crates: int) -> int:\n    return 1\n"
ASYNC = HEAD + "\n@task()\nasync def weigh(crate: int) -> int:\n    return 1\n"
POSTPONED = "from __future__ import annotations\n" + WRONG_TYPE


@pytest.mark.parametrize(
    ("file", "source", "line", "cause"),
    [
        ("tasks.py", "def f(:\n", 1, "SyntaxError"),
        ("weights.py", "\nimport no_such_library\n", 2, "No module named 'no_such_library'"),
        ("weights.py", "\n\nx = {}['apple']\n", 3, "KeyError: 'apple'"),
        ("tasks.py", NO_TYPE, 3, "parameter crate has no type hint"),
        ("tasks.py", STARRED, 3, "*crates can't be filled"),
        ("tasks.py", ASYNC, 3, "not an async one"),
        ("tasks.py", WRONG_TYPE, 4, "'Crate' is not defined"),
        ("tasks.py", POSTPONED, 4, "'Crate' is not defined"),
    ],
    ids=[
        "syntax",
        "missing library",
        "raises",
        "no type hint",
        "starred",
        "async",
        "unknown type",
        "postponed",
    ],
)
def test_a_mistake_stops_the_start_and_is_found_at_once(tmp_path, orchard, file, source, line, cause):
    (orchard / file).write_text(source)

    started = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "SERVICE_BIND": f"127.0.0.1:{free_port()}",
            "SERVICE_TASK_MODULES": "orchard.tasks",
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert started.returncode == 2
    assert f"{orchard / file}:{line}: " in started.stderr
    assert cause in started.stderr
    assert "Traceback" not in started.stderr
    assert started.stdout == "", "nothing was started"
