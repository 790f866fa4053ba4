"""The store of jobs can't be used: said at once, logged in full, and no reason to stop the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.jobs.store import Store, open_store

JOB = "/v1/jobs/00000000-0000-7000-8000-000000000000"
BATCH = "/v1/batches/00000000-0000-7000-8000-000000000000"
SUM = {"task": "sum_of_squares", "args": {"n": 5}}


@pytest.fixture
def away() -> Store:
    """A store in a folder that can't be made."""
    return open_store("sqlite:////proc/nowhere/everycore.db")


@pytest.fixture
def client(make_client: Callable[..., FlaskClient], away: Store) -> FlaskClient:
    return make_client(FakeEngine(), store=away)


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("POST", "/v1/jobs", {"json": SUM}),
        ("POST", "/v1/jobs/batch", {"json": {"jobs": [SUM]}}),
        ("GET", "/v1/jobs", {}),
        ("GET", JOB, {}),
        ("GET", f"{JOB}?wait=5", {}),
        ("GET", f"{JOB}/result", {}),
        ("GET", f"{JOB}/log", {}),
        ("GET", f"{JOB}/events", {}),
        ("GET", f"{JOB}/deliveries", {}),
        ("POST", f"{JOB}/cancel", {}),
        ("POST", f"{JOB}/retry", {}),
        ("DELETE", JOB, {}),
        ("GET", BATCH, {}),
        ("POST", f"{BATCH}/cancel", {}),
        ("POST", "/v1/tasks/sum_of_squares", {"json": {"n": 5}, "headers": {"Prefer": "respond-async"}}),
        ("POST", "/v1/tasks/sum_of_squares", {"json": {"n": 5}, "headers": {"Prefer": "wait=5"}}),
    ],
)
def test_it_is_said_and_when_to_try_again(
    client: FlaskClient, capsys: pytest.CaptureFixture[str], method: str, path: str, request_: dict[str, Any]
) -> None:
    answer = client.open(path, method=method, **request_)

    assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/store-unavailable")
    assert answer.headers["Retry-After"] == "2"
    # Why is nobody's business but the operator's.
    assert "nowhere" not in answer.text
    assert "nowhere" in capsys.readouterr().out


def test_a_sample_says_so_in_its_own_form(client: FlaskClient) -> None:
    answer = client.post("/start_background_process/", json={"message": "hello", "duration": 0})

    assert answer.status_code == 503
    assert set(answer.get_json()) == {"error"}
    assert answer.headers["Retry-After"] == "2"


def test_what_is_wrong_with_a_submission_is_told_all_the_same(client: FlaskClient) -> None:
    assert client.post("/v1/jobs", json={"task": "nope"}).status_code == 404
    assert client.post("/v1/jobs", json=SUM | {"ttl": 0}).status_code == 422


def test_tasks_run_and_the_service_is_ready(client: FlaskClient) -> None:
    assert client.post("/v1/tasks/sum_of_squares", json={"n": 5}).get_json()["result"] == 30
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ready")
    assert answer.get_json()["checks"]["store"] == "unavailable"


def test_metrics_say_so_and_have_the_rest(client: FlaskClient) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert "everycore_store_up 0.0" in lines
    assert any(line.startswith("everycore_cpu_slots ") for line in lines)
    absent = ("everycore_jobs{", "everycore_jobs_oldest_queued_seconds ", "everycore_runners ")
    assert not [line for line in lines if line.startswith(absent)]
