"""One task over many items, and different tasks at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.errors import DeadlineExceeded, Saturated, TaskCrashed

URL = "/v1/tasks/sum_of_squares/map"
NDJSON = {"Accept": "application/x-ndjson"}


def lines(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_item_has_an_entry_in_the_order_of_the_items(client: FlaskClient) -> None:
    response = client.post(URL, json={"items": [{"n": 5}, {"n": 0}, {"n": 3}]})

    assert response.status_code == 200
    body = response.get_json()
    assert body["task"] == "sum_of_squares"
    assert body["results"] == [
        {"index": 0, "result": 30},
        {"index": 1, "result": 0},
        {"index": 2, "result": 5},
    ]
    summary = body["summary"]
    assert (summary["total"], summary["succeeded"], summary["failed"], summary["processes"]) == (3, 3, 0, 1)
    assert set(summary) == {"total", "succeeded", "failed", "wall", "cpu", "speedup", "processes"}


def test_an_item_that_does_not_fit_fails_alone(client: FlaskClient) -> None:
    body = client.post(URL, json={"items": [{"n": 5}, {"n": -1}, {"m": 1}, 7, {"n": 1}]}).get_json()

    assert [("result" in entry, entry["index"]) for entry in body["results"]] == [
        (True, 0),
        (False, 1),
        (False, 2),
        (False, 3),
        (True, 4),
    ]
    error = body["results"][1]["error"]
    assert (error["status"], error["type"], error["errors"][0]["loc"]) == (422, "/problems/validation", ["n"])
    assert body["summary"]["failed"] == 3


def test_a_call_that_fails_is_an_entry_like_any_other(make_client: Callable[..., FlaskClient]) -> None:
    crashed = make_client(FakeEngine(errors={"example.fail": TaskCrashed(7, -9)}))
    calls = [{"task": "example.fail"}, {"task": "sum_of_squares", "args": {"n": 3}}, {"task": "nothing"}, 3]
    body = crashed.post("/v1/batch", json={"calls": calls}).get_json()

    slugs = [entry.get("error", {}).get("type") for entry in body["results"]]
    assert slugs == ["/problems/task-crashed", None, "/problems/task-not-found", "/problems/validation"]
    assert body["results"][1]["result"] == 5
    assert "task" not in body


def test_a_result_without_a_form_in_json_fails_alone(client: FlaskClient) -> None:
    items = [{"what": "nan"}, {"what": "big"}, {"what": "object"}]
    body = client.post("/v1/tasks/example.make/map", json={"items": items}).get_json()

    assert body["results"][1]["result"] == 10**30
    assert [entry["error"]["status"] for entry in body["results"] if "error" in entry] == [500, 500]


@pytest.mark.parametrize("bad", [{"n": -1}, {"x": 1}])
def test_the_first_error_stops_the_rest_if_asked_to(
    client: FlaskClient, engine: FakeEngine, bad: Any
) -> None:
    items = [{"n": 1}, bad, *[{"n": 2}] * 5]
    body = client.post(URL, json={"items": items, "on_error": "stop"}).get_json()

    statuses = [entry.get("error", {}).get("status", 200) for entry in body["results"]]
    assert statuses == [200, 422, 409, 409, 409, 409, 409]
    assert body["summary"]["total"] == 7
    assert len(engine.calls) == 1


def test_a_call_that_fails_stops_the_rest_if_asked_to(make_client: Callable[..., FlaskClient]) -> None:
    engine = FakeEngine(errors={"example.fail": DeadlineExceeded(1.0, started=True)})
    calls = [{"task": "example.fail"}, *[{"task": "sum_of_squares", "args": {"n": 3}}] * 3]
    body = make_client(engine).post("/v1/batch", json={"calls": calls, "on_error": "stop"}).get_json()

    statuses = [entry.get("error", {}).get("status", 200) for entry in body["results"]]
    assert statuses == [504, 409, 409, 409]
    assert len(engine.calls) == 1


def test_entries_are_streamed_as_lines_with_the_summary_last(client: FlaskClient) -> None:
    response = client.post(URL, json={"items": [{"n": 5}, {"n": -1}]}, headers=NDJSON)

    assert response.content_type == "application/x-ndjson"
    first, second, last = lines(response)
    assert (first["index"], first["result"], set(first["timing"])) == (0, 30, {"queued", "run", "cpu", "pid"})
    assert (second["index"], second["error"]["status"]) == (1, 422)
    assert (last["summary"]["succeeded"], last["summary"]["failed"]) == (1, 1)


def test_items_are_read_from_lines(client: FlaskClient) -> None:
    body = b'{"n": 5}\n\n{"n": tru}\n  \n{"n": 3}'
    response = client.post(URL, data=body, content_type="application/x-ndjson", headers=NDJSON)

    *entries, last = lines(response)
    assert [entry.get("result", entry.get("error", {}).get("status")) for entry in entries] == [30, 400, 5]
    assert [entry["index"] for entry in entries] == [0, 1, 2]
    assert last["summary"]["total"] == 3


def test_a_line_beyond_the_limit_ends_the_run_with_its_problem(client: FlaskClient) -> None:
    body = b'{"n": 5}\n{"n": ' + b" " * 200_000 + b"5}\n"
    *entries, last = lines(client.post(URL, data=body, content_type="application/x-ndjson", headers=NDJSON))

    assert entries[0]["result"] == 30
    assert entries[1]["error"]["status"] == 413
    assert last["summary"]["total"] == 2


def test_a_body_of_lines_may_be_longer_than_any_other_body(client: FlaskClient) -> None:
    response = client.post(
        URL, data=b'{"n": 2}\n' * 20_000, content_type="application/x-ndjson", headers=NDJSON
    )

    assert lines(response)[-1]["summary"]["succeeded"] == 20_000


def test_very_many_refused_items_are_answered_in_between_and_the_rest_runs(
    client: FlaskClient, engine: FakeEngine
) -> None:
    body = b'{"n": -1}\n' * 3500 + b'{"n": 2}\n'
    response = client.post(URL, data=body, content_type="application/x-ndjson", headers=NDJSON)

    *entries, last = lines(response)
    assert [entry["index"] for entry in entries] == list(range(3501))
    assert (entries[-1]["result"], last["summary"]["failed"], len(engine.calls)) == (1, 3500, 1)


def test_numbers_of_any_size_reach_the_task(client: FlaskClient) -> None:
    items = f'{{"items": [{{"value": {10**100}}}]}}'
    body = client.post("/v1/tasks/example.echo/map", data=items, content_type="application/json").get_json()

    assert body["results"] == [{"index": 0, "result": 10**100}]


def test_a_service_that_is_full_says_so_before_anything_is_streamed(
    make_client: Callable[..., FlaskClient],
) -> None:
    full = make_client(FakeEngine(errors={"sum_of_squares": Saturated("full", 2.0)}))
    response = full.post(URL, json={"items": [{"n": 1}]}, headers=NDJSON)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"


def test_closing_the_answer_stops_the_work(client: FlaskClient, engine: FakeEngine) -> None:
    response = client.post(URL, json={"items": [{"n": 1}] * 50}, headers=NDJSON, buffered=False)
    next(response.iter_encoded())
    response.close()

    assert len(engine.calls) < 5


def test_a_streamed_request_is_logged_when_it_is_over(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    response = client.post(URL, json={"items": [{"n": 1}]}, headers=NDJSON, buffered=False)
    assert "sum_of_squares" not in capsys.readouterr().out
    response.get_data()
    response.close()
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert (line["task"], line["status"], "run" in line) == ("sum_of_squares", 200, True)
    assert line["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"items": [NaN]}', 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"items": 3}', 422),
        (b'{"items": [], "on_error": "panic"}', 422),
        (b'{"items": [], "more": 1}', 422),
        (b'{"items": [], "on_error": []}', 422),
    ],
)
def test_a_body_that_is_no_map_is_refused(client: FlaskClient, body: bytes, status: int) -> None:
    response = client.post(URL, data=body, content_type="application/json")

    assert response.status_code == status
    assert response.content_type == "application/problem+json"


def test_no_items_are_no_mistake(client: FlaskClient) -> None:
    assert client.post(URL, json={"items": []}).get_json()["results"] == []
    assert len(lines(client.post(URL, json={"items": []}, headers=NDJSON))) == 1


def test_other_media_types_and_tasks_are_refused(client: FlaskClient) -> None:
    assert client.post(URL, data=b"x", content_type="text/plain").status_code == 415
    assert client.post("/v1/batch", data=b"x", content_type="application/x-ndjson").status_code == 415
    assert client.post("/v1/tasks/nothing/map", json={"items": []}).status_code == 404
    assert (
        client.post(f"{URL}?on_error=panic", data=b"", content_type="application/x-ndjson").status_code == 422
    )
