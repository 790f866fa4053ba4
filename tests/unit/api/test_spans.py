"""Requests as spans."""

import json

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from service.engine.fake import FakeEngine
from service.engine.traced import TracedEngine
from service.errors import Saturated
from service.telemetry import tracing
from tests.spans import Kept, is_below
from tests.unit.api.job_runs import HandRunner

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


@pytest.fixture
def tracer(monkeypatch):
    kept = Kept()
    monkeypatch.setattr(tracing, "open_tracer", lambda *_: kept)
    return kept


@pytest.fixture
def client(tracer, engine, make_client):
    return make_client(engine)


def test_a_request_is_a_span_with_the_names_of_the_conventions(client, tracer):
    answer = client.post(
        "/v1/tasks/sum_of_squares", json={"n": 10}, headers={"X-Request-ID": "mine", "User-Agent": "tests"}
    )

    span = tracer.one("POST /v1/tasks/{name}")
    assert answer.status_code == 200
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/tasks/{name}",
        "url.path": "/v1/tasks/sum_of_squares",
        "url.scheme": "http",
        "user_agent.original": "tests",
        "everycore.request_id": "mine",
        "everycore.task": "sum_of_squares",
    }
    assert is_below(tracer.one("call sum_of_squares"), span)


def test_a_clients_trace_goes_on(client, tracer):
    client.post("/v1/tasks/sum_of_squares", json={"n": 10}, headers=CLIENT)

    for span in tracer.spans:
        assert span.get_span_context().trace_id == int(TRACE, 16)
    assert tracer.one("POST /v1/tasks/{name}").parent.span_id == 0xB7AD6B7169203331


def test_what_is_no_context_is_no_mistake_of_a_request(client, tracer):
    answer = client.post("/v1/tasks/sum_of_squares", json={"n": 10}, headers={"traceparent": "nonsense"})

    assert answer.status_code == 200
    assert tracer.one("POST /v1/tasks/{name}").parent is None


def test_nothing_of_a_request_is_left_for_the_next(client, tracer):
    client.post("/v1/tasks/sum_of_squares", json={"n": 10}, headers=CLIENT)
    client.post("/v1/tasks/sum_of_squares", json={"n": 10})

    first, second = (span for span in tracer.spans if span.name == "POST /v1/tasks/{name}")
    assert second.parent is None
    assert second.get_span_context().trace_id != first.get_span_context().trace_id
    assert tracing.current.get() is None


def test_a_streamed_answer_ends_its_span_when_all_of_it_is_sent(client, tracer):
    answer = client.post(
        "/v1/tasks/sum_of_squares/map",
        json={"items": [{"n": 10}, {"n": 20}]},
        headers={"Accept": "application/x-ndjson"},
    )

    assert len(answer.get_data().splitlines()) >= 2
    answer.close()
    span = tracer.one("POST /v1/tasks/{name}/map")
    calls = [found for found in tracer.spans if found.name == "call sum_of_squares"]
    assert len(calls) == 2
    assert all(is_below(call, span) for call in calls)
    assert all(call.end_time <= span.end_time for call in calls)


def test_a_mistake_of_the_client_is_no_error_of_the_service(client, tracer):
    assert client.post("/v1/tasks/sum_of_squares", json={"n": "x"}).status_code == 422
    assert client.get("/nowhere").status_code == 404
    assert client.open("/healthz", method="BREW").status_code == 405

    assert [span.name for span in tracer.spans] == ["POST /v1/tasks/{name}", "GET", "HTTP"]
    assert {span.status.status_code for span in tracer.spans} == {StatusCode.UNSET}
    assert "http.route" not in tracer.spans[1].attributes


def test_a_failure_of_the_service_is_told_by_its_problem(tracer, make_client):
    client = make_client(FakeEngine({"sum_of_squares": Saturated("full", 1.0)}))

    assert client.post("/v1/tasks/sum_of_squares", json={"n": 10}).status_code == 503

    span = tracer.one("POST /v1/tasks/{name}")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "saturated"
    assert span.attributes["http.response.status_code"] == 503


def test_lines_of_the_log_name_the_trace(client, capsys):
    client.get("/healthz", headers=CLIENT)

    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"request"' in line]
    assert line["trace_id"] == TRACE


def trace_of(job, runner):
    """Return what a runner is told."""
    (claim,) = runner.claim()
    assert claim.job.id == job
    return claim.job.trace


def test_a_job_remembers_its_trace(client, tracer, runner):
    job = client.post("/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 10}}, headers=CLIENT).json[
        "id"
    ]

    request = tracer.one("POST /v1/jobs")
    context = request.get_span_context()
    assert trace_of(job, runner) == {"traceparent": f"00-{TRACE}-{context.span_id:016x}-01"}


def test_a_job_of_a_call_remembers_it_too(client, runner):
    asked = {**CLIENT, "Prefer": "respond-async"}
    job = client.post("/v1/tasks/sum_of_squares", json={"n": 10}, headers=asked).json["id"]

    assert tracing.trace_id(trace_of(job, runner)) == TRACE


def test_without_an_endpoint_there_is_no_tracing(engine, make_client, database):
    client = make_client(engine)
    job = client.post("/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 10}}, headers=CLIENT).json[
        "id"
    ]

    assert client.application.extensions["everycore.engine"] is engine
    assert not isinstance(engine, TracedEngine)
    assert trace_of(job, HandRunner(database)) is None
