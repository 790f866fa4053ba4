"""The built-in tasks are documented, and their examples do what the page says."""

from __future__ import annotations

import inspect
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask
from PIL import Image

from service.app import create_app
from service.engine.fake import FakeEngine
from service.settings import Settings
from service.tasks import registry
from service.tasks.testing import check_result
from tests.films import film

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "built-in-tasks.md"
TEXT = PAGE.read_text(encoding="utf-8")

#: The commands, each with the lines of comment behind it.
COMMANDS = re.findall(r"^(curl .*)\n((?:# .*\n)?)", TEXT, re.MULTILINE)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Flask:
    monkeypatch.chdir(tmp_path)
    return create_app(Settings(log_format="json"), engine=FakeEngine())


def built_in() -> set[str]:
    registry.load()
    return {task.name for task in registry.plain_tasks() if task.function.__module__ in registry.built_in()}


def leaves(value: Any) -> Iterator[Any]:
    """Yield what a document holds, with a float as what it should be about."""
    if isinstance(value, dict):
        for name, inner in sorted(value.items()):
            yield name
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield pytest.approx(value, rel=0.01) if isinstance(value, float) else value


def test_each_has_a_heading_a_row_and_a_command() -> None:
    names = built_in()

    assert set(re.findall(r"^## `(\w+)`$", TEXT, re.MULTILINE)) == names
    table = "".join(re.findall(r"^\| (`.+?) \|", TEXT, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", table)) == names
    assert {re.findall(r"/v1/tasks/(\w+)", command)[0] for command, _ in COMMANDS} == names


def test_each_has_a_description_and_a_timeout_of_its_own() -> None:
    tasks = [registry.get(name) for name in built_in() - {"process_data", "background_task"}]

    assert all(len(task.description) > 20 and task.timeout for task in tasks)


@pytest.mark.parametrize(("command", "comment"), COMMANDS)
def test_a_command_does_what_is_said(app: Flask, command: str, comment: str) -> None:
    words = shlex.split(command)
    url = words[1].removeprefix("http://127.0.0.1:8000")
    client = app.test_client()
    if "--json" in words:
        answer = client.post(url, data=words[words.index("--json") + 1], content_type="application/json")

        assert answer.status_code == 200
        expected = comment.removeprefix("# result: ").strip()
        assert expected
        if "…" not in expected:
            assert list(leaves(answer.get_json()["result"])) == list(leaves(json.loads(expected)))
    else:
        # The files are the reader's; that the task takes such files is ours.
        media_type = next(
            (w.split(": ")[1] for w in words if w.startswith("Content-Type")), "multipart/form-data"
        )
        accepts = client.get(url.partition("?")[0]).get_json()["accepts"]
        assert {media_type, media_type.partition("/")[0] + "/*"} & set(accepts)


def picture() -> bytes:
    """A 1, in dark on light."""
    image, out = Image.new("L", (40, 40), "white"), io.BytesIO()
    image.paste("black", (18, 5, 22, 35))
    image.save(out, "PNG")
    return out.getvalue()


#: What stands in for the reader's files, by the name of the argument.
FILES = {"image": picture, "video": film}


def example_of(name: str) -> dict[str, Any]:
    """The arguments of the first command on the page that calls it."""
    command = next(command for command, _ in COMMANDS if f"/v1/tasks/{name}" in command)
    words = shlex.split(command)
    if "--json" in words:
        args: dict[str, Any] = json.loads(words[words.index("--json") + 1])
        return args
    query = {
        key: int(text) if text.isdecimal() else text for key, text in parse_qsl(urlsplit(words[1]).query)
    }
    parameters = inspect.signature(registry.get(name).function).parameters
    return query | {key: FILES[key]() for key in FILES if key in parameters}


@pytest.mark.parametrize("name", sorted(built_in()))
def test_its_result_is_what_its_type_hint_says(name: str) -> None:
    check_result(registry.get(name).function, **example_of(name))
