"""Waiting for a job: woken at once, at most so many, and nobody for a client that has gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.jobs.database import Database
from service.jobs.model import Payload, State
from service.jobs.watcher import FALLBACK, Watcher
from tests.unit.api.job_runs import HandRunner, meanwhile, wait_until

URL = "/v1/jobs"
SUM = {"task": "sum_of_squares", "args": {"n": 5}}


@pytest.fixture
def href(client: FlaskClient) -> str:
    return str(client.post(URL, json=SUM).get_json()["href"])


@pytest.fixture
def watcher(client: FlaskClient) -> Watcher:
    found: Watcher = client.application.extensions["everycore.watcher"]
    return found


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a client's connection."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, ours


def waits(watcher: Watcher, count: int = 1) -> bool:
    return len(watcher._waiters) == count


def listens(watcher: Watcher) -> bool:
    """Tell whether somebody waits whom a bell would wake, for the first look is over."""
    return waits(watcher) and watcher.listening


def test_the_answer_comes_when_the_job_has_ended(
    client: FlaskClient, watcher: Watcher, runner: HandRunner, href: str
) -> None:
    with meanwhile(lambda: client.get(f"{href}?wait=30")) as waiting:
        wait_until(lambda: listens(watcher))
        (claim,) = runner.claim()
        runner.settle(claim, State.SUCCEEDED, Payload("application/json", b"30"))
        settled = time.monotonic()
        answer = waiting.result(10)
        took = time.monotonic() - settled

    assert (answer.status_code, answer.get_json()["result"]) == (200, 30)
    # A bell has woken it, not the time that has passed.
    assert took < FALLBACK / 2


def test_or_when_the_time_has_passed(client: FlaskClient, href: str) -> None:
    begun = time.monotonic()

    assert client.get(f"{href}?wait=0.2").get_json()["state"] == "queued"
    assert 0.2 <= time.monotonic() - begun < 0.2 + FALLBACK


def test_who_need_not_wait_does_not(
    client: FlaskClient, watcher: Watcher, runner: HandRunner, href: str
) -> None:
    assert client.get(f"{href}?wait=0").get_json()["state"] == "queued"
    runner.run()
    assert client.get(f"{href}?wait=60").get_json()["state"] == "succeeded"
    assert not watcher.listening


@pytest.mark.parametrize("wait", ["-1", "x", "", "61", "1e9", "nan", "inf", "1&wait=2"])
def test_a_wait_that_can_not_be_is_refused(client: FlaskClient, href: str, wait: str) -> None:
    answer = client.get(f"{href}?wait={wait}")

    assert (answer.status_code, answer.get_json()["errors"][0]["loc"]) == (422, ["wait"])


def test_nobody_waits_longer_than_a_request_may_take(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(FakeEngine(), request_timeout_max=7)
    href = client.post(URL, json=SUM).get_json()["href"]

    answer = client.get(f"{href}?wait=8")

    assert answer.get_json()["errors"] == [{"loc": ["wait"], "msg": "it must be at most 7 seconds"}]


def test_a_client_that_leaves_is_waited_for_no_more(
    client: FlaskClient, watcher: Watcher, href: str, connection: tuple[socket.socket, socket.socket]
) -> None:
    theirs, ours = connection
    of_client = {"gunicorn.socket": ours}
    with meanwhile(lambda: client.get(f"{href}?wait=60", environ_overrides=of_client)) as waiting:
        wait_until(lambda: waits(watcher))
        theirs.close()
        answer = waiting.result(10)

    assert (answer.status_code, answer.get_json()["type"]) == (499, "/problems/client-gone")
    assert waits(watcher, 0)


def test_everybody_goes_home_when_the_worker_stops(client: FlaskClient, watcher: Watcher, href: str) -> None:
    with meanwhile(lambda: client.get(f"{href}?wait=60")) as waiting:
        wait_until(lambda: waits(watcher))
        watcher.is_stopping = lambda: True
        answer = waiting.result(10)

    assert (answer.status_code, answer.get_json()["state"]) == (200, "queued")


class TestPlaces:
    @pytest.fixture
    def small(self, make_client: Callable[..., FlaskClient]) -> FlaskClient:
        """A client of a worker with four threads, of which two may wait."""
        return make_client(FakeEngine(), web_threads=4)

    @pytest.fixture
    def busy(self, small: FlaskClient) -> Iterator[tuple[FlaskClient, str, list[Any]]]:
        """Have two streams take both places."""
        with small.post(URL, json=SUM) as answer:
            href = answer.get_json()["href"]
        streams = [small.get(f"{href}/events", buffered=False) for _ in range(2)]
        yield small, href, streams
        for stream in streams:
            stream.close()

    def test_one_more_is_refused_and_told_when_to_come_again(
        self, busy: tuple[FlaskClient, str, list[Any]]
    ) -> None:
        client, href, _ = busy
        for path in (f"{href}?wait=5", f"{href}/events"):
            with client.get(path) as answer:
                assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/saturated")
                assert answer.headers["Retry-After"] == "1"
                assert answer.headers["Connection"] == "close"

    def test_others_are_served(self, busy: tuple[FlaskClient, str, list[Any]]) -> None:
        client, href, _ = busy
        for path in (href, "/healthz", "/readyz", URL):
            with client.get(path) as answer:
                assert answer.status_code == 200
        with client.post("/v1/tasks/sum_of_squares", json={"n": 5}) as answer:
            assert answer.get_json()["result"] == 30

    def test_what_has_been_done_is_told_without_waiting(
        self, busy: tuple[FlaskClient, str, list[Any]], database: Database
    ) -> None:
        client, href, _ = busy
        headers = {"Prefer": "wait=30"}
        with client.post("/v1/tasks/sum_of_squares", json={"n": 5}, headers=headers) as answer:
            assert answer.status_code == 202
        HandRunner(database).claim()
        with client.post(f"{href}/cancel") as answer:
            assert answer.status_code == 202

    def test_a_place_is_free_when_a_stream_is_closed(
        self, busy: tuple[FlaskClient, str, list[Any]], database: Database
    ) -> None:
        client, href, streams = busy
        streams.pop().close()
        with client.get(f"{href}?wait=0.01") as answer:
            assert answer.status_code == 200
