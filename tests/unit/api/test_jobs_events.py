"""The stream of what happens to a job: nothing twice, nothing lost, the end last."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.api.job_events import RETRY, EventStream, Place
from service.engine.fake import FakeEngine
from service.jobs.claims import Claim
from service.jobs.model import Payload, State
from service.jobs.store import Store
from service.jobs.watcher import Watcher
from tests.unit.api.job_runs import HandRunner, events_of, meanwhile, wait_until

JSON_RESULT = Payload("application/json", b"30")


@pytest.fixture
def href(client: FlaskClient) -> str:
    answer = client.post("/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 5}})
    return str(answer.get_json()["href"])


@pytest.fixture
def watcher(client: FlaskClient) -> Watcher:
    found: Watcher = client.application.extensions["everycore.watcher"]
    return found


@pytest.fixture
def claim(runner: HandRunner, href: str) -> Claim:
    (claim,) = runner.claim()
    return claim


def kinds(events: Any) -> list[str]:
    return [f"{kind} {place}" for kind, place, _ in events]


def logged(piece: bytes) -> list[tuple[str, int]]:
    """Return the ids of the events with lines, and the numbers of these."""
    return [(place, json.loads(data)["seq"]) for kind, place, data in events_of(piece) if kind == "log"]


def test_a_job_that_has_ended_is_told_at_once(
    client: FlaskClient, runner: HandRunner, claim: Claim, href: str
) -> None:
    runner.say(claim, "one", "two\nlines", progress={"done": 1, "total": 2, "note": ""})
    runner.settle(claim, State.SUCCEEDED, JSON_RESULT, progress={"done": 2, "total": 2, "note": ""})

    answer = client.get(f"{href}/events")

    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    events = events_of(answer.data)
    assert kinds(events) == ["log 1.0", "log 2.0", "progress 2.0", "state 2.3"]
    assert json.loads(events[1][2])["line"] == "two\nlines"
    assert json.loads(events[2][2]) == {"done": 2, "total": 2, "note": ""}
    document = json.loads(events[3][2])
    assert "result" not in document
    assert document == {
        name: value for name, value in client.get(href).get_json().items() if name != "result"
    }


def test_what_happens_is_told_while_it_happens(
    client: FlaskClient, runner: HandRunner, claim: Claim, href: str
) -> None:
    stream = client.get(f"{href}/events", buffered=False).iter_encoded()
    assert next(stream) == RETRY
    assert kinds(events_of(next(stream))) == ["state 0.2"]

    runner.say(claim, "one", progress={"done": 1, "total": 2, "note": ""})
    assert kinds(events_of(next(stream))) == ["log 1.2"]
    assert kinds(events_of(next(stream))) == ["progress 1.2"]

    runner.say(claim, "two", first=2)
    assert kinds(events_of(next(stream))) == ["log 2.2"]

    runner.settle(claim, State.SUCCEEDED, JSON_RESULT)
    assert kinds(events_of(next(stream))) == ["state 2.3"]
    assert list(stream) == []


def test_states_between_two_looks_may_be_passed_over_but_never_the_last(
    client: FlaskClient, runner: HandRunner, href: str
) -> None:
    stream = client.get(f"{href}/events", buffered=False).iter_encoded()
    assert next(stream) == RETRY
    assert kinds(events_of(next(stream))) == ["state 0.1"]

    runner.run()

    assert [json.loads(data)["state"] for _, _, data in events_of(b"".join(stream))][-1] == "succeeded"


class TestLastEventId:
    @pytest.fixture
    def ended(self, runner: HandRunner, claim: Claim, href: str) -> str:
        runner.say(claim, "one", "two", "three")
        runner.settle(claim, State.SUCCEEDED, JSON_RESULT)
        return f"{href}/events"

    @pytest.mark.parametrize(
        ("last", "left"),
        [
            ("0.0", ["log 1.0", "log 2.0", "log 3.0", "state 3.3"]),
            ("1.2", ["log 2.2", "log 3.2", "state 3.3"]),
            ("3.2", ["state 3.3"]),
            ("2.3", ["log 3.3"]),
        ],
    )
    def test_a_stream_goes_on_where_another_broke_off(
        self, client: FlaskClient, ended: str, last: str, left: list[str]
    ) -> None:
        answer = client.get(ended, headers={"Last-Event-ID": last})

        assert kinds(events_of(answer.data)) == left

    def test_who_knows_all_is_told_to_ask_no_more(self, client: FlaskClient, ended: str) -> None:
        answer = client.get(ended, headers={"Last-Event-ID": "3.3"})

        assert (answer.status_code, answer.data) == (204, b"")

    @pytest.mark.parametrize("last", ["x", "1", "1.", "1.2.3", "-1.2", "1" * 20 + ".1", "1.2 "])
    def test_one_that_was_never_sent_is_refused(self, client: FlaskClient, ended: str, last: str) -> None:
        answer = client.get(ended, environ_overrides={"HTTP_LAST_EVENT_ID": last})

        assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-header")

    def test_no_line_is_lost_or_told_twice_however_often_it_breaks_off(
        self, client: FlaskClient, runner: HandRunner, claim: Claim, href: str
    ) -> None:
        told: list[tuple[str, int]] = []
        headers: dict[str, str] = {}
        for part in range(5):
            runner.say(claim, *map(str, range(3)), first=3 * part + 1)
            with client.get(f"{href}/events", headers=headers, buffered=False) as answer:
                events = next(filter(None, map(logged, answer.iter_encoded())))
            told += events
            headers = {"Last-Event-ID": told[-1][0]}

        assert [seq for _, seq in told] == list(range(1, 16))


def test_many_lines_come_in_order(client: FlaskClient, runner: HandRunner, claim: Claim, href: str) -> None:
    runner.say(claim, *map(str, range(1000)))
    runner.settle(claim, State.FAILED, error={"status": 500})

    events = events_of(client.get(f"{href}/events").data)

    assert [seq for _, seq in logged(client.get(f"{href}/events").data)] == [*range(1, 1001)]
    assert kinds(events)[-1] == "state 1000.3"


def test_a_job_that_is_tried_again_is_told_on(
    client: FlaskClient, runner: HandRunner, claim: Claim, href: str
) -> None:
    said = {"done": 1, "total": 2, "note": ""}
    stream = client.get(f"{href}/events", buffered=False).iter_encoded()
    assert next(stream) == RETRY
    assert kinds(events_of(next(stream))) == ["state 0.2"]
    runner.say(claim, progress=said)
    assert kinds(events_of(next(stream))) == ["progress 0.2"]

    # The next attempt says the same as the first, and so much is new
    runner.settle(claim, State.QUEUED, error={"status": 500}, failed=1)
    assert kinds(events_of(next(stream))) == ["state 0.3"]
    (again,) = runner.claim()
    assert kinds(events_of(next(stream))) == ["state 0.4"]
    runner.say(again, progress=said)
    assert kinds(events_of(next(stream))) == ["progress 0.4"]


def test_a_job_that_is_deleted_meanwhile_ends_the_stream(
    client: FlaskClient, store: Store, href: str
) -> None:
    stream = client.get(f"{href}/events", buffered=False).iter_encoded()
    assert next(stream) == RETRY
    assert kinds(events_of(next(stream))) == ["state 0.1"]
    identity = href.rpartition("/")[2]
    with meanwhile(lambda: events_of(b"".join(stream))) as rest:
        store.cancel(identity)
        # It may see the cancelled job, or none any more.
        store.delete(identity)
        kind, _, data = rest.result(10)[-1]

    assert kind in ("state", "error")
    assert json.loads(data).get("state") == "cancelled" or "job-not-found" in data


def test_there_is_a_sign_of_life_when_nothing_happens(store: Store, watcher: Watcher, href: str) -> None:
    stream = EventStream(store, watcher, href.rpartition("/")[2], Place(), heartbeat=0.01)
    pieces = stream.pieces(time.monotonic() + 30, None)

    assert next(pieces) == RETRY
    assert kinds(events_of(next(pieces))) == ["state 0.1"]
    assert next(pieces) == b":\n\n"
    pieces.close()


def test_a_stream_lasts_no_longer_than_a_request_may_take(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(FakeEngine(), request_timeout_max=0.2, request_timeout=0.2)
    href = client.post("/v1/jobs", json={"task": "example.fail"}).get_json()["href"]

    begun = time.monotonic()
    answer = client.get(f"{href}/events")

    assert kinds(events_of(answer.data)) == ["state 0.1"]
    assert 0.2 <= time.monotonic() - begun < 5


def test_a_client_that_leaves_ends_its_stream(client: FlaskClient, watcher: Watcher, href: str) -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        answer = client.get(f"{href}/events", buffered=False, environ_overrides={"gunicorn.socket": ours})
        with meanwhile(lambda: list(answer.iter_encoded())) as streaming:
            wait_until(lambda: len(watcher._waiters) == 1)
            theirs.shutdown(socket.SHUT_WR)
            assert kinds(events_of(b"".join(streaming.result(10)))) == ["state 0.1"]

    assert not watcher._waiters


def test_head_sends_the_header_and_holds_nothing(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(FakeEngine(), web_threads=2)
    with client.post("/v1/jobs", json={"task": "example.fail"}) as answer:
        href = answer.get_json()["href"]

    for _ in range(3):
        with client.head(f"{href}/events") as answer:
            assert (answer.status_code, answer.data) == (200, b"")
