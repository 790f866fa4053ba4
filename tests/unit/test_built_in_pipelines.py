"""The built-in pipelines are documented, and their examples do what the page says."""

from __future__ import annotations

import dataclasses
import gzip
import io
import itertools
import json
import re
import shlex
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from service.app import create_app
from service.engine.local import LocalEngine
from service.settings import Settings
from service.tasks import registry
from service.tasks.log_formats import FORMATS
from service.tasks.logs import log_statistics
from service.tasks.testing import run_pipeline
from tests.films import film
from tests.unit.pages import REFERENCE

TEXT = (REFERENCE / "built-in-pipelines.md").read_text(encoding="utf-8")

#: The commands, each with the lines of comment behind it.
COMMANDS = re.findall(r"^(curl .*)\n((?:# .*\n)?)", TEXT, re.MULTILINE)


def built_in() -> set[str]:
    registry.load()
    modules = registry.built_in()
    return {entry.name for entry in registry.pipelines() if entry.function.__module__ in modules}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A client of an application with real processes."""
    engine = LocalEngine(processes=8, cpu_slots=2, runtime_dir=tmp_path_factory.mktemp("run"))
    database = f"sqlite:///{tmp_path_factory.mktemp('jobs')}/jobs.db"
    yield create_app(Settings(log_format="json", database_url=database), engine=engine).test_client()
    engine.close()


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(out, "JPEG")
    return out.getvalue()


def pictures() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.jpg", picture())
    return out.getvalue()


def access_log() -> bytes:
    line = '::1 - - [10/Oct/2000:13:55:36 -0700] "GET /%d HTTP/1.1" 200 %d "-" "curl/8.0"\n'
    return "".join(line % (number % 7, number) for number in range(100)).encode()


def json_log() -> bytes:
    return gzip.compress(b'{"service": "a"}\n{"service": "b"}\n')


#: What stands in for the reader's files.
FILES: dict[str, Callable[[], bytes]] = {
    "access.log": access_log,
    "app.log.gz": json_log,
    "photos.zip": pictures,
    "photo1.jpg": picture,
    "photo2.jpg": picture,
    "clip.mp4": film,
}


def options_of(words: list[str]) -> dict[str, Any]:
    """Return what a command of curl sends, as the test client takes it."""
    pairs = list(itertools.pairwise(words))
    given = dict(pairs)
    if "--json" in given:
        headers = {"Accept": "application/json"}
        return {"data": given["--json"], "headers": headers, "content_type": "application/json"}
    if "--data-binary" in given:
        file = given["--data-binary"].removeprefix("@")
        return {"data": FILES[file](), "content_type": given["-H"].removeprefix("Content-Type: ")}
    fields: dict[str, list[Any]] = {}
    for name, _, value in (after.partition("=") for before, after in pairs if before == "-F"):
        file = value.removeprefix("@")
        fields.setdefault(name, []).append((io.BytesIO(FILES[file]()), file) if file in FILES else value)
    return {"data": fields}


def test_each_has_a_heading_a_row_and_a_command() -> None:
    names = built_in()

    assert set(re.findall(r"^## `(\w+)`$", TEXT, re.MULTILINE)) == names
    assert set(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\|[^|]*→", TEXT, re.MULTILINE)) == names
    assert {re.findall(r"/v1/pipelines/(\w+)", command)[0] for command, _ in COMMANDS} == names


def test_each_has_a_description_and_a_timeout_of_its_own() -> None:
    pipelines = [registry.get(name) for name in built_in() - {"process_queue_communication"}]

    assert all(len(entry.description) > 20 and entry.timeout for entry in pipelines)


@pytest.mark.parametrize(("command", "comment"), COMMANDS)
def test_a_command_does_what_is_said(client: FlaskClient, command: str, comment: str) -> None:
    words = shlex.split(command)
    url = words[1].removeprefix("http://127.0.0.1:8000")

    answer = client.post(url, **options_of(words))

    assert answer.status_code == 200, answer.text
    if words[-2:-1] == ["-o"] and words[-1].endswith(".zip"):
        assert zipfile.ZipFile(io.BytesIO(answer.data)).testzip() is None
    elif comment:
        assert answer.get_json()["results"] == json.loads(comment.removeprefix("# results: "))
    else:
        *items, summary = (json.loads(line) for line in answer.text.splitlines())
        assert items
        assert all("item" in item for item in items)
        assert summary["summary"]["items"] == len(items)


def test_the_example_of_log_statistics_is_true() -> None:
    line = '::1 - - [10/Oct/2000:13:55:36 -0700] "GET %s HTTP/1.1" %d %s\n'
    log = line % ("/a", 200, 10) + line % ("/a", 500, 30) + line % ("/b", 200, "-")
    log += "no line of a log\n" + line % ("/a", 200, 20)
    documented = json.loads(re.findall(r"^```json\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)[0])

    (found,) = run_pipeline(log_statistics, log=log.encode(), key="path", value="bytes")

    # The number in the middle is known from its bucket only.
    documented["rows"][0]["value"]["p50"] = pytest.approx(20, rel=0.01)
    assert dataclasses.asdict(found) == documented


def test_each_field_of_a_web_servers_log_is_named() -> None:
    (paragraph,) = re.findall(r"^A line in format `combined` .+?\n\n", TEXT, re.MULTILINE | re.DOTALL)

    fields = FORMATS["combined"].fields
    assert fields is not None
    assert set(fields) <= set(re.findall(r"`(\w+)`", paragraph))
