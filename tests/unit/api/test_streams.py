"""Generator tasks over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.errors import Saturated, TaskCrashed

URL = "/v1/tasks/example.count"
NDJSON, EVENTS, JSON = "application/x-ndjson", "text/event-stream", "application/json"


def lines(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def events(response: Any) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in response.text.split("\n\n") if block]
    assert all(kind.startswith("event: ") and data.startswith("data: ") for kind, data in blocks)
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]


@pytest.mark.parametrize("accept", [None, "*/*", NDJSON, f"{NDJSON}, {JSON};q=0.5"])
def test_items_are_lines_and_the_last_line_says_how_it_ended(client: FlaskClient, accept: str | None) -> None:
    response = client.post(URL, json={"n": 3}, headers={"Accept": accept} if accept else {})

    assert response.content_type == NDJSON
    *items, last = lines(response)
    assert items == [{"item": 0}, {"item": 1}, {"item": 2}]
    assert last["summary"]["items"] == 3
    assert set(last["summary"]["timing"]) == {"queued", "run", "cpu", "pid"}


def test_items_are_events_if_asked_for_so(client: FlaskClient) -> None:
    response = client.post(URL, json={"n": 2}, headers={"Accept": EVENTS})

    assert response.content_type.partition(";")[0] == EVENTS
    *items, (kind, summary) = events(response)
    assert items == [("item", 0), ("item", 1)]
    assert (kind, summary["items"]) == ("summary", 2)


def test_items_are_one_list_if_json_is_asked_for(client: FlaskClient) -> None:
    response = client.post(URL, json={"n": 3}, headers={"Accept": JSON})

    assert response.content_type == JSON
    assert response.get_json()["result"] == [0, 1, 2]


def test_a_map_has_a_list_for_each(client: FlaskClient) -> None:
    body = client.post(f"{URL}/map", json={"items": [{"n": 0}, {"n": 2}]}).get_json()

    assert [entry["result"] for entry in body["results"]] == [[], [0, 1]]


def test_no_items_are_a_summary_alone(client: FlaskClient) -> None:
    (last,) = lines(client.post(URL, json={"n": 0}))

    assert last["summary"]["items"] == 0


@pytest.mark.parametrize(("error", "status"), [(Saturated("full", 3.0), 503), (TaskCrashed(7, -9), 500)])
def test_an_error_before_the_first_item_is_the_answer(
    make_client: Callable[..., FlaskClient], error: Any, status: int
) -> None:
    response = make_client(FakeEngine({"example.count": error})).post(URL, json={"n": 3})

    assert (response.status_code, response.content_type) == (status, "application/problem+json")


def test_an_input_that_is_refused_before_the_first_item_is_422(client: FlaskClient) -> None:
    response = client.post(URL, json={"n": 3, "end": "refuse at once"})

    assert (response.status_code, response.get_json()["type"]) == (422, "/problems/invalid-input")


@pytest.mark.parametrize("accept", [NDJSON, EVENTS])
def test_an_item_without_a_form_in_json_ends_the_stream_with_its_problem(
    client: FlaskClient, engine: FakeEngine, accept: str
) -> None:
    response = client.post(URL, json={"n": 2, "end": "nan"}, headers={"Accept": accept})

    assert response.status_code == 200
    if accept == EVENTS:
        kind, problem = events(response)[-1]
    else:
        ((kind, problem),) = lines(response)[-1].items()
    assert (kind, problem["type"]) == ("error", "/problems/result-not-serializable")


def test_bytes_and_line_breaks_travel_in_a_line(client: FlaskClient) -> None:
    response = client.post(URL, json={"n": 0, "end": "bytes"}, headers={"Accept": EVENTS})

    assert events(response)[0] == ("item", ["_w==", "a\nb"])


def test_arguments_are_checked_as_for_any_task(client: FlaskClient) -> None:
    assert client.post(URL, json={"n": "3"}).status_code == 422
    assert client.post(URL, data=b"{").status_code == 400


def test_it_says_that_it_streams(client: FlaskClient) -> None:
    described = client.get(URL).get_json()

    assert described["streams"] is True
