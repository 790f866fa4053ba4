"""Traces of a real service, as a receiver of OTLP sees them."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.running import Service, free_port, wait_until
from tests.spans import Received, Receiver, receiving

TASKS = '''
import httpx
from service.tasks import task, trace_headers

@task
def ask(url: str) -> int:
    """Ask another service."""
    return httpx.get(url, headers=trace_headers()).status_code

@task
def tell() -> dict[str, str]:
    """Return the headers for others."""
    return trace_headers()
'''
TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def start(serve, tmp_path) -> Callable[..., Service]:
    (tmp_path / "traced.py").write_text(TASKS)

    def start(*command: str, **variables: str) -> Service:
        settings = {
            "SERVICE_TASK_MODULES": "traced",
            "SERVICE_WEB_WORKERS": "2",
            "SERVICE_LOG_FORMAT": "json",
            # Soon, for a test waits for it.
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        service: Service = serve(*command, **(settings | variables))
        return service

    return start


def of(receiver: Receiver, name: str, number: int = 1) -> list[Received]:
    """Wait for spans of a name."""
    wait_until(lambda: len(receiver.named(name)) >= number, 20, lambda: f"{receiver.spans}")
    return receiver.named(name)


def test_a_job_is_one_trace_from_its_client_to_what_its_task_asks_of_others(start, receiver):
    service = start(SERVICE_TRACES_ENDPOINT=receiver.url)
    job = httpx.post(
        f"{service.url}/v1/jobs",
        json={"task": "ask", "args": {"url": f"{service.url}/healthz"}},
        headers=CLIENT,
    ).json()["id"]
    shown = httpx.get(f"{service.url}/v1/jobs/{job}?wait=20").json()

    (submitted,) = of(receiver, "POST /v1/jobs")
    (attempt,) = of(receiver, "job ask")
    (call,) = of(receiver, "call ask")
    asked = lambda: [span for span in receiver.named("GET /healthz") if span.trace == TRACE]  # noqa: E731
    wait_until(lambda: len(asked()) == 1, 20, lambda: f"{receiver.spans}")
    assert shown["result"] == 200
    assert {submitted.trace, attempt.trace, call.trace} == {TRACE}
    assert submitted.parent == "b7ad6b7169203331"
    assert (attempt.parent, call.parent, asked()[0].parent) == (submitted.id, attempt.id, call.id)
    assert attempt.details["everycore.job.id"] == job
    assert submitted.begin <= attempt.begin <= call.begin <= asked()[0].begin
    assert asked()[0].end <= call.end <= attempt.end
    assert submitted.resource["service.name"] == "everycore"
    # The web and the runner are two processes.
    assert submitted.resource["service.instance.id"] != attempt.resource["service.instance.id"]


def test_every_line_about_a_job_names_its_trace(start, receiver):
    service = start(SERVICE_TRACES_ENDPOINT=receiver.url)
    submission = {"task": "tell"}
    job = httpx.post(f"{service.url}/v1/jobs", json=submission, headers=CLIENT).json()["id"]
    httpx.get(f"{service.url}/v1/jobs/{job}?wait=20", headers=CLIENT)

    def lines() -> list[dict[str, str]]:
        return [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]

    events = lambda: {line["event"] for line in lines() if line.get("trace_id") == TRACE}  # noqa: E731
    wait_until(lambda: events() == {"request", "attempt started", "attempt ended"}, 20, lambda: f"{lines()}")


def test_a_map_over_several_workers_and_processes_is_one_trace(start, receiver):
    service = start(SERVICE_TRACES_ENDPOINT=receiver.url)

    answer = httpx.post(
        f"{service.url}/v1/tasks/tell/map", json={"items": [{}] * 200}, headers=CLIENT, timeout=30
    ).json()

    of(receiver, "call tell", 128)
    (request,) = of(receiver, "POST /v1/tasks/{name}/map")
    told = [entry["result"]["traceparent"] for entry in answer["results"]]
    sent = {f"00-{TRACE}-{span.id}-01" for span in receiver.named("call tell")}
    assert set(told[:128]) == sent
    assert set(told[128:]) == {f"00-{TRACE}-{request.id}-01"}


def test_a_stop_sends_what_is_left(start, receiver):
    service = start(SERVICE_TRACES_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="60000")
    httpx.post(f"{service.url}/v1/tasks/tell", json={})
    job = httpx.post(f"{service.url}/v1/jobs", json={"task": "tell"}).json()["id"]
    httpx.get(f"{service.url}/v1/jobs/{job}?wait=20")
    assert receiver.spans == []

    service.parent.send_signal(signal.SIGTERM)
    service.assert_gone(within=20)

    assert len(receiver.named("POST /v1/tasks/{name}")) == 1
    assert len(receiver.named("job tell")) == 1
    assert len(receiver.named("call tell")) == 2


@pytest.mark.parametrize("deaf", [True, False], ids=["one that says nothing", "none"])
def test_a_receiver_that_is_away_holds_up_nothing(start, deaf):
    with socket.socket() as listener:
        port = free_port()
        if deaf:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        service = start(
            SERVICE_TRACES_ENDPOINT=f"http://127.0.0.1:{port}/v1/traces",
            SERVICE_GRACEFUL_TIMEOUT="302",
        )

        for _ in range(50):
            answer = httpx.post(f"{service.url}/v1/tasks/tell", json={}, timeout=10)
            assert answer.status_code == 200

        before = time.monotonic()
        service.parent.send_signal(signal.SIGTERM)
        service.assert_gone(within=30)
        # Two seconds for each process, not the half minute that OpenTelemetry allows itself.
        assert time.monotonic() - before < 20


def test_a_sample_of_nothing_still_goes_on_with_what_a_client_samples(start, receiver):
    service = start(SERVICE_TRACES_ENDPOINT=receiver.url, SERVICE_TRACES_SAMPLE="0")

    plain = httpx.post(f"{service.url}/v1/tasks/tell", json={}).json()["result"]
    sampled = httpx.post(f"{service.url}/v1/tasks/tell", json={}, headers=CLIENT).json()["result"]

    (call,) = of(receiver, "call tell")
    assert int(plain["traceparent"][-2:], 16) & 1 == 0
    assert sampled == {"traceparent": f"00-{TRACE}-{call.id}-01"}
    assert {span.trace for span in receiver.spans} == {TRACE}
