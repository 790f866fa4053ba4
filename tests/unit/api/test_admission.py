"""A worker works on so many requests at a time, and says so to all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from tests.unit.api.job_runs import wait_until

STREAM = {"Accept": "application/x-ndjson"}
WORK = [
    ("POST", "/v1/tasks/sum_of_squares"),
    ("POST", "/v1/tasks/sum_of_squares/map"),
    ("POST", "/v1/batch"),
    ("GET", "/concurrent_cpu_tasks/?n=1"),
    ("GET", "/parallel_data_processing/?item=1"),
    ("POST", "/start_background_process/"),
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/batch"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/result"),
    ("GET", "/v1/jobs/x/log"),
    ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/jobs/x/deliveries"),
    ("POST", "/v1/jobs/x/cancel"),
    ("POST", "/v1/jobs/x/retry"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/v1/batches/x"),
    ("POST", "/v1/batches/x/cancel"),
]


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.backlog = 6.5
    return engine


@pytest.fixture
def full(make_client: Callable[..., FlaskClient], engine: FakeEngine) -> FlaskClient:
    """Return a client of a worker whose only place is taken by a stream."""
    client = make_client(engine, web_threads=1)
    client.held = client.post(  # type: ignore[attr-defined]
        "/v1/tasks/sum_of_squares/map", json={"items": [{"n": 1}] * 3}, headers=STREAM, buffered=False
    )
    return client


@pytest.mark.parametrize(("method", "path"), WORK)
def test_one_more_is_refused_at_once_and_told_when_to_come_again(
    full: FlaskClient, method: str, path: str
) -> None:
    answer = full.open(path, method=method, json={} if method == "POST" else None)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"
    assert "busy" in answer.get_json().get("detail", answer.get_json().get("error"))


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/tasks", "/openapi.json", "/docs"])
def test_what_does_no_work_needs_no_place(full: FlaskClient, path: str) -> None:
    wait_until(lambda: full.get(path).status_code != 503)  # /readyz may be, for a first look at the store
    assert full.get(path).status_code == 200


def test_a_place_is_free_again_when_the_answer_is_sent(full: FlaskClient) -> None:
    full.held.close()  # type: ignore[attr-defined]
    with full.post("/v1/tasks/sum_of_squares", json={"n": 5}) as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"n": -1}'])
def test_a_place_is_free_again_after_an_error(
    make_client: Callable[..., FlaskClient], engine: FakeEngine, body: bytes
) -> None:
    client = make_client(engine, web_threads=1)
    for _ in range(3):
        with client.post("/v1/tasks/sum_of_squares", data=body) as answer:
            assert answer.status_code in (400, 422)
