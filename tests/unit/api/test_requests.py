"""What every answer has: an id, timings, safe headers, a line in the log."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

URL = "/v1/tasks/sum_of_squares"
EVERYWHERE = ["/", "/healthz", "/readyz", "/v1/tasks", URL, "/nothing", "/concurrent_cpu_tasks/?n=x"]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_has_an_id_timings_and_safe_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers

    assert re.fullmatch("[0-9a-f]{32}", headers["X-Request-ID"])
    assert re.fullmatch(r"total;dur=\d+\.\d{3}", headers["Server-Timing"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_each_request_gets_another_id(client: FlaskClient) -> None:
    assert client.get("/").headers["X-Request-ID"] != client.get("/").headers["X-Request-ID"]


@pytest.mark.parametrize(
    "given", ["a", "order-7", "0af7651916cd43dd8448eb211c80319c", "a/b:c@d.e_f", "x" * 128]
)
def test_a_safe_id_of_the_clients_is_kept(client: FlaskClient, given: str) -> None:
    assert client.get("/", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "<script>", "é", "-rf", "a\tb", "{}", "a;b"])
def test_any_other_id_is_replaced(client: FlaskClient, given: str) -> None:
    assert client.get("/", headers={"X-Request-ID": given}).headers["X-Request-ID"] != given


def test_a_call_tells_how_long_it_waited_and_ran(client: FlaskClient) -> None:
    timing = client.post(URL, json={"n": 5}).headers["Server-Timing"]

    assert re.fullmatch(r"queue;dur=[\d.]+, run;dur=[\d.]+, total;dur=[\d.]+", timing)


def test_a_call_that_fails_tells_how_long_it_ran_too(client: FlaskClient) -> None:
    assert "run;dur=" in client.post("/v1/tasks/example.fail", json={}).headers["Server-Timing"]


def test_a_request_is_one_line_in_the_log(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.post(f"{URL}", json={"n": 5}, headers={"X-Request-ID": "order-7"})

    (line,) = lines(capsys)
    assert {name: line[name] for name in ("event", "request_id", "method", "path", "task", "status")} == {
        "event": "request",
        "request_id": "order-7",
        "method": "POST",
        "path": URL,
        "task": "sum_of_squares",
        "status": 200,
    }
    assert line["queued"] >= 0
    assert line["total"] >= line["run"] > 0


def test_a_request_that_runs_nothing_logs_no_task(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.get("/nothing")

    (line,) = lines(capsys)
    assert line["status"] == 404
    assert {"task", "queued", "run"}.isdisjoint(line)


def test_a_path_cannot_forge_a_line(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.get("/x%0a%7B%22event%22:%22request%22%7D%1b[2J")

    (line,) = lines(capsys)
    assert line["path"] == "/x%0A%7B%22event%22%3A%22request%22%7D%1B%5B2J"


def test_a_failing_task_can_be_found_by_its_requests_id(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post("/v1/tasks/example.fail", json={}, headers={"X-Request-ID": "order-8"})

    failed, request = lines(capsys)
    assert (failed["event"], request["event"]) == ("task failed", "request")
    assert failed["request_id"] == request["request_id"] == "order-8"


def test_a_refused_request_is_logged_with_its_task_and_problem_but_not_its_query(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    response = client.post(f"{URL}?colour=secret", json={"n": 5})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["loc"] == ["colour"]
    (line,) = lines(capsys)
    assert (line["task"], line["problem"]) == ("sum_of_squares", "validation")
    assert "secret" not in str(line)


def test_a_readiness_that_is_well_is_not_worth_a_line(client, engine, capsys):
    client.get("/readyz")
    assert capsys.readouterr().out == ""

    engine.ready = False
    client.get("/readyz")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == 503
