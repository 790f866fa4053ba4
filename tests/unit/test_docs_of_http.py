"""``http.md`` has every endpoint, header, media type, status and problem that the code has."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from service import keys
from service.api.arguments import accepted
from service.api.openapi.document import build
from service.api.problems import TABLE
from service.app import create_app
from service.engine.fake import FakeEngine
from service.errors import Saturated
from service.jobs.store import Store
from service.settings import Settings
from tests.unit.pages import REFERENCE, code_headings, codes, rows, section

PAGE = REFERENCE / "http.md"

JSON, NDJSON, NPY = "application/json", "application/x-ndjson", "application/x-npy"

#: What Werkzeug reads of every request, to find the view.
OF_ROUTING = {"Host", "Connection", "Upgrade"}

#: What it reads beside ``If-None-Match``, and has no use for where there are neither dates nor parts.
OF_CONDITIONS = {"If-Modified-Since", "If-Match", "If-Range", "Range"}

#: Statuses that the page says of every endpoint.
OF_ALL = {"401", "403", "421", "429", "500"}


@dataclass
class Traffic:
    """What was seen of some requests."""

    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    media_types: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)


class Recording(dict[str, Any]):
    """A WSGI environment that notes which headers are read from it."""

    def __init__(self, environ: dict[str, Any], asked: set[str]) -> None:
        super().__init__(environ)
        self._asked = asked

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note(key)
        return super().get(key, default)

    def _note(self, key: str) -> None:
        if found := re.fullmatch(r"(?:HTTP_)?((?<=HTTP_).+|CONTENT_TYPE|CONTENT_LENGTH)", key):
            self._asked.add("-".join(word.capitalize() for word in found[1].split("_")))


def send(app: Flask, traffic: Traffic, path: str, method: str = "GET", **request: Any) -> None:
    environ = Recording(EnvironBuilder(path, method=method, **request).get_environ(), traffic.asked)

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        traffic.statuses.add(int(status[:3]))
        traffic.answered.update(name for name, _ in headers)
        media_types = {value.partition(";")[0] for name, value in headers if name == "Content-Type"}
        traffic.media_types.update(media_types)

    body: Iterable[bytes] = app.wsgi_app(environ, start_response)
    list(body)
    body.close()  # type: ignore[attr-defined] # Flask's has it


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)


def app_with(engine: FakeEngine, **settings: Any) -> Flask:
    modules = ("tests.unit.api.example_tasks",)
    return create_app(Settings(log_format="json", task_modules=modules, **settings), engine=engine)


@pytest.fixture
def app() -> Flask:
    return app_with(FakeEngine())


@pytest.fixture
def traffic(app: Flask) -> Traffic:
    """Send a request of every kind."""
    seen = Traffic()
    for path in ("/", "/healthz", "/readyz", "/docs", "/docs/docs.css", "/docs/docs.js", "/v1/tasks", "/no"):
        send(app, seen, path)
    send(app, seen, "/openapi.json", headers={"If-None-Match": '"old"'})
    send(app, seen, "/healthz", "PUT")
    send(app, seen, "/concurrent_cpu_tasks/?n=1")
    task, made = "/v1/tasks/sum_of_squares", {"n": 1}
    send(app, seen, task, "POST", json=made, headers={"Request-Timeout": "1", "X-Request-ID": "mine"})
    send(app, seen, task, "POST", json={"n": "1"})
    for body, asks in (("application/json", JSON), ("application/json", NDJSON), (NDJSON, NDJSON)):
        data = b'{"n": 1}' if body == NDJSON else b'{"items": [{"n": 1}]}'
        send(app, seen, f"{task}/map", "POST", data=data, content_type=body, headers={"Accept": asks})
    for asks in (NDJSON, "text/event-stream", JSON):
        send(app, seen, "/v1/tasks/example.count", "POST", json={"n": 2}, headers={"Accept": asks})
    send(app, seen, "/v1/pipelines")
    matrices = {"a": [[1.0]], "b": [[2.0]]}
    send(app, seen, "/v1/tasks/matrix_multiply", "POST", json=matrices, headers={"Accept": NPY})
    send(app, seen, task, "POST", data=b"{}", content_type=JSON, headers={"Content-Encoding": "gzip"})
    send(app, seen, task, "POST", json=made, headers={"Prefer": "respond-async"})
    for job in submitted(app, seen):
        for end in ("", "/log", "/events", "/result", "/deliveries"):
            send(app, seen, f"{job}{end}", headers={"Last-Event-ID": "0.2", "Accept": "text/plain"})
        send(app, seen, job, "DELETE")
    send(app_with(FakeEngine(), database_url="sqlite:////proc/no/jobs.db"), seen, "/v1/jobs")
    send(app_with(FakeEngine(), max_body=1), seen, task, "POST", json=made)
    send(app_with(FakeEngine({"sum_of_squares": Saturated("full", 3)})), seen, task, "POST", json=made)
    text, key = keys.new("somebody", per_minute=1)
    guarded = app_with(FakeEngine(), api_keys=key.line())
    for header in ("Bearer wrong", f"Bearer {text}", f"Bearer {text}"):
        send(guarded, seen, task, "POST", json=made, headers={"Authorization": header})
    return seen


def submitted(app: Flask, seen: Traffic) -> list[str]:
    """Submit a job as it is done, and return the paths of those that there are; all of them have ended."""
    store: Store = app.extensions["everycore.store"]
    headers = {"Idempotency-Key": "one"}
    for _ in range(2):
        send(app, seen, "/v1/jobs", "POST", json={"task": "example.fail"}, headers=headers)
    send(app, seen, "/v1/jobs/batch", "POST", json={"jobs": [{"task": "example.fail"}]})
    jobs, _ = store.list()
    for job in jobs:
        store.cancel(job.id)
    return [f"/v1/jobs/{job.id}" for job in jobs]


def test_each_endpoint_has_a_heading_and_each_heading_an_endpoint(app: Flask) -> None:
    served = {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert set(code_headings(PAGE)) == served


def test_each_problem_is_in_the_table_with_its_status_and_no_other() -> None:
    documented = {(row[0], row[1]) for row in rows(PAGE) if len(row) > 1 and row[1].isdecimal()}

    assert documented == {(kind.slug, str(kind.status)) for kind in TABLE.values()}


def test_the_traffic_meets_every_kind_of_answer(traffic: Traffic) -> None:
    assert traffic.statuses == {200, 202, 204, 401, 404, 405, 413, 415, 422, 429, 503}


def test_each_header_that_is_read_of_a_request_is_there(traffic: Traffic) -> None:
    assert {"Accept", "Request-Timeout", "Content-Type"} <= traffic.asked
    assert {"Prefer", "Idempotency-Key", "Last-Event-Id"} <= traffic.asked
    assert not traffic.asked - OF_ROUTING - OF_CONDITIONS - headers_in("of the request")


def test_each_header_of_a_response_is_there(traffic: Traffic) -> None:
    assert {"Retry-After", "WWW-Authenticate", "ETag", "Allow", "Connection"} <= traffic.answered
    assert {"Location", "Preference-Applied"} <= traffic.answered
    assert not traffic.answered - headers_in("of every response") - headers_in("of some")


def headers_in(table: str) -> set[str]:
    """Return the headers in the table with that title, in the form that names have in the code."""
    text = section(PAGE, "Headers").partition(f"| {table} |")[2].partition("\n\n")[0]
    names = {name for row in text.splitlines() for name in codes(row.split("|")[1] if "|" in row else "")}
    names = {name.partition(":")[0] for name in names}
    return names | {"-".join(word.capitalize() for word in name.split("-")) for name in names}


def test_each_media_type_is_there(app: Flask, traffic: Traffic) -> None:
    contracts = app.extensions["everycore.contracts"].values()
    of_bodies = {media_type for contract in contracts for media_type in accepted(contract)}

    assert not (traffic.media_types | of_bodies) - codes(section(PAGE, "Media types"))


def operations(app: Flask) -> Iterator[tuple[str, str, set[str]]]:
    """Yield method, path and statuses of every operation of the contract."""
    settings = app.extensions["everycore.settings"]
    contracts = app.extensions["everycore.contracts"]
    for path, by_method in build(contracts, settings)["paths"].items():
        room, _, name = path.rpartition("/")
        documented = f"{room}/{{name}}" if name in contracts else path
        for method, operation in by_method.items():
            yield method.upper(), documented, set(operation["responses"])


def test_each_status_of_an_endpoint_is_in_its_section(app: Flask) -> None:
    lacking = {}
    for method, path, statuses in operations(app):
        text = section(PAGE, f"`{method} {path}`")
        if missing := statuses - OF_ALL - set(re.findall(r"\b[2-5]\d\d\b", text)):
            lacking[f"{method} {path}"] = missing

    assert not lacking
