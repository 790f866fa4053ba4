"""Metrics of requests, and where they can be had."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service import keys
from service.engine.fake import FakeEngine
from service.engine.slots import Slots
from service.telemetry.metrics.registry import REGISTRY


def requests_of(endpoint: str, status: int, method: str = "GET") -> float:
    labels = {"method": method, "endpoint": endpoint, "status": str(status)}
    return REGISTRY.get_sample_value("everycore_http_requests_total", labels) or 0.0


def seconds_of(endpoint: str, method: str = "GET") -> float:
    labels = {"method": method, "endpoint": endpoint}
    return REGISTRY.get_sample_value("everycore_http_request_seconds_count", labels) or 0.0


def in_flight() -> float:
    found = REGISTRY.get_sample_value("everycore_http_requests_in_flight")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "path", "status", "endpoint"),
    [
        ("GET", "/healthz", 200, "/healthz"),
        ("HEAD", "/healthz", 200, "/healthz"),
        ("OPTIONS", "/healthz", 200, "/healthz"),
        ("GET", "/v1/tasks/sum_of_squares", 200, "/v1/tasks/{name}"),
        ("GET", "/v1/tasks/nothing", 404, "/v1/tasks/{name}"),
        ("POST", "/v1/tasks/sum_of_squares", 400, "/v1/tasks/{name}"),
        ("GET", "/v1/jobs/abc/log", 404, "/v1/jobs/{job}/log"),
        ("GET", "/v1/nothing", 404, "unmatched"),
        ("DELETE", "/v1/tasks/sum_of_squares", 405, "unmatched"),
        ("GET", "/docs/docs.css", 200, "/docs/{file}"),
    ],
)
def test_an_endpoint_is_the_template_of_its_route(
    client: FlaskClient, method: str, path: str, status: int, endpoint: str
) -> None:
    before = requests_of(endpoint, status, method), seconds_of(endpoint, method)

    assert client.open(path, method=method).status_code == status

    assert (requests_of(endpoint, status, method), seconds_of(endpoint, method)) == (
        before[0] + 1,
        before[1] + 1,
    )


def endpoints_in(client: FlaskClient) -> set[str]:
    return set(re.findall(r'endpoint="([^"]*)"', client.get("/metrics").text))


@pytest.fixture
def others(client: FlaskClient) -> set[str]:
    """Endpoints of applications that other tests have made in this process."""
    rules = {re.sub("<(.*?)>", r"{\1}", rule.rule) for rule in client.application.url_map.iter_rules()}
    return endpoints_in(client) - rules - {"unmatched"}


def test_whatever_clients_send_the_series_are_few(client: FlaskClient, others: set[str]) -> None:
    for number in range(20):
        client.get(f"/no/such/path/{number}")
        client.open("/healthz", method=f"BREW{number}")
        client.delete(f"/v1/tasks/{number}")

    text = client.get("/metrics").text
    endpoints = set(re.findall(r'endpoint="([^"]*)"', text))
    methods = set(re.findall(r'method="([^"]*)"', text))
    rules = {re.sub("<(.*?)>", r"{\1}", rule.rule) for rule in client.application.url_map.iter_rules()}
    assert "unmatched" in endpoints
    assert endpoints <= rules | {"unmatched"} | others
    assert "other" in methods
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}


def test_each_template_is_a_path_of_the_contract(client: FlaskClient, others: set[str]) -> None:
    client.get("/v1/pipelines/none")
    client.get("/v1/jobs/none/events")
    client.get("/metrics")
    paths = set(client.get("/openapi.json").get_json()["paths"])

    found = set(re.findall(r'everycore_http_requests_total{endpoint="([^"]*)"', client.get("/metrics").text))

    # Of tasks and pipelines the contract has one path each.
    expanded = {"/v1/tasks/{name}", "/v1/pipelines/{name}", "/docs", "/docs/{file}", "unmatched"}
    assert {"/v1/jobs/{job}/events", "/metrics"} <= paths & found
    assert not found - paths - expanded - others


def test_a_streamed_answer_is_under_way_until_its_last_byte(client: FlaskClient) -> None:
    endpoint, before, idle = "/v1/tasks/{name}", seconds_of("/v1/tasks/{name}", "POST"), in_flight()

    answer = client.post(
        "/v1/tasks/example.count", json={"n": 3}, headers={"Accept": "application/x-ndjson"}, buffered=False
    )
    lines = iter(answer.response)
    next(lines)
    assert (seconds_of(endpoint, "POST"), in_flight()) == (before, idle + 1)
    list(lines)
    answer.close()

    assert (seconds_of(endpoint, "POST"), in_flight()) == (before + 1, idle)
    assert requests_of(endpoint, 200, "POST") >= 1


def test_an_application_that_breaks_leaves_nothing_under_way(client: FlaskClient) -> None:
    def breaks(*_: object) -> None:
        raise SystemExit

    idle, before = in_flight(), requests_of("unmatched", 500)
    traced = client.application.wsgi_app
    traced._app = breaks  # type: ignore[attr-defined] # the one that it wraps

    with pytest.raises(SystemExit):
        client.get("/healthz")

    assert (in_flight(), requests_of("unmatched", 500)) == (idle, before + 1)


def test_prometheus_gets_the_form_that_it_asks_for(client: FlaskClient) -> None:
    plain = client.get("/metrics")
    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE everycore_http_requests_total counter" in plain.text

    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    open_metrics = client.get("/metrics", headers={"Accept": asked})
    assert open_metrics.content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert open_metrics.text.endswith("# EOF\n")


def test_the_index_and_the_contract_lead_there(client: FlaskClient) -> None:
    assert client.get("/").get_json()["links"]["metrics"] == "/metrics"
    operation = client.get("/openapi.json").get_json()["paths"]["/metrics"]["get"]
    assert set(operation["responses"]["200"]["content"]) == {"text/plain", "application/openmetrics-text"}


def test_it_needs_a_key_where_others_do(make_client: Callable[..., FlaskClient], engine: FakeEngine) -> None:
    text, key = keys.new("prometheus")
    client = make_client(engine, api_keys=key.line())

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {text}"}).status_code == 200


def test_it_answers_when_every_place_is_taken(
    make_client: Callable[..., FlaskClient], engine: FakeEngine
) -> None:
    client = make_client(engine, web_threads=1)
    places: threading.Semaphore = client.application.extensions["everycore.places"]
    assert places.acquire(blocking=False)

    assert client.get("/v1/tasks/sum_of_squares").status_code == 200
    assert client.post("/v1/tasks/sum_of_squares", json={"n": 1}).status_code == 503
    assert client.get("/metrics").status_code == 200


def test_it_tells_how_busy_the_machine_is(
    make_client: Callable[..., FlaskClient], engine: FakeEngine, tmp_path: Path
) -> None:
    client = make_client(engine, cpu_slots=3, job_slots=1, queue_limit=5, runtime_dir=tmp_path)
    engine.backlog = 1.5
    taken = [Slots(tmp_path, 3).try_take() for _ in range(2)]
    waits = Slots(tmp_path / "waiting", 5).try_take()

    text = client.get("/metrics").text

    assert "everycore_cpu_slots 3.0\n" in text
    assert "everycore_cpu_slots_used 2.0\n" in text
    assert "everycore_runs_waiting 1.0\n" in text
    assert "everycore_backlog_seconds 1.5\n" in text
    assert "everycore_web_workers 1.0\n" in text
    for holder in (*taken, waits):
        assert holder is not None
        holder.close()
    assert "everycore_cpu_slots_used 0.0\n" in client.get("/metrics").text
