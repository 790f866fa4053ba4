"""Calls that become jobs because their client would rather not wait (``Prefer``)."""

from __future__ import annotations

import io
import socket
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.jobs.model import Payload, State
from service.jobs.store import Store
from service.jobs.watcher import Watcher
from tests.unit.api.job_runs import HandRunner, meanwhile, wait_until

URL = "/v1/tasks/sum_of_squares"
ASYNC = {"Prefer": "respond-async"}
WAIT = {"Prefer": "wait=30"}


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_a_call_becomes_a_job(client: FlaskClient, engine: FakeEngine, runner: HandRunner) -> None:
    answer = client.post(URL, json={"n": 5}, headers=ASYNC)

    assert answer.status_code == 202
    document = answer.get_json()
    assert answer.headers["Location"] == document["href"]
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert (document["task"], document["state"]) == ("sum_of_squares", "queued")
    assert engine.calls == []
    runner.run()
    assert client.get(document["href"]).get_json()["result"] == 30


class TestWait:
    def answer(self, client: FlaskClient, runner: HandRunner, url: str, **request: Any) -> Any:
        """Wait for a call that a runner runs meanwhile."""
        store: Store = client.application.extensions["everycore.store"]
        with meanwhile(lambda: client.post(url, headers=WAIT, **request)) as waiting:
            wait_until(store.counts)
            runner.run()
            return waiting.result(10)

    def test_who_waits_gets_what_a_plain_call_gets(self, client: FlaskClient, runner: HandRunner) -> None:
        answer = self.answer(client, runner, URL, json={"n": 5})

        assert answer.status_code == 200
        document = answer.get_json()
        assert (document["task"], document["result"]) == ("sum_of_squares", 30)
        assert document.keys() == {"task", "result", "timing"}
        assert document["timing"].keys() == {"queued", "run", "cpu", "total"}
        assert all(seconds >= 0 for seconds in document["timing"].values())
        assert answer.headers["Preference-Applied"] == "wait=30"
        assert client.get(answer.headers["Location"]).get_json()["state"] == "succeeded"

    def test_bytes_are_bytes(self, client: FlaskClient, runner: HandRunner) -> None:
        answer = self.answer(
            client, runner, "/v1/tasks/example.measure?scale=3", data=b"\0\xff", content_type="image/png"
        )

        assert (answer.content_type, answer.data) == ("text/plain; charset=utf-8", b"6")

    def test_items_of_a_generator_are_a_list(self, client: FlaskClient, runner: HandRunner) -> None:
        answer = self.answer(client, runner, "/v1/tasks/example.count", json={"n": 3})

        assert answer.get_json()["result"] == [0, 1, 2]

    def test_an_integer_keeps_its_digits(self, client: FlaskClient, runner: HandRunner) -> None:
        answer = self.answer(client, runner, "/v1/tasks/example.make", json={"what": "big"})

        assert answer.get_json()["result"] == 10**30

    @pytest.mark.parametrize(
        ("task", "status", "problem", "detail"),
        [
            ("fail", 500, "task-failed", "the task raised RuntimeError"),
            ("refuse", 422, "invalid-input", "the moon is not full"),
        ],
    )
    def test_an_error_has_the_status_that_it_has_otherwise(
        self, client: FlaskClient, runner: HandRunner, task: str, status: int, problem: str, detail: str
    ) -> None:
        url = f"/v1/tasks/example.{task}"
        answer = self.answer(client, runner, url, json={})

        assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
        assert answer.get_json()["type"] == f"/problems/{problem}"
        assert answer.get_json()["instance"] == url
        assert detail in answer.get_json()["detail"]
        assert answer.headers["Location"]

    def test_a_job_that_somebody_cancelled_is_a_call_that_was(
        self, client: FlaskClient, store: Store
    ) -> None:
        with meanwhile(lambda: client.post(URL, json={"n": 5}, headers=WAIT)) as waiting:
            wait_until(store.counts)
            store.cancel(store.list()[0][0].id)
            answer = waiting.result(10)

        assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/cancelled")

    def test_one_that_is_not_done_in_time_goes_on(self, client: FlaskClient, runner: HandRunner) -> None:
        answer = client.post(URL, json={"n": 5}, headers={"Prefer": "respond-async, wait=0"})

        assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
        assert answer.headers["Preference-Applied"] == "respond-async, wait=0"
        runner.run()
        assert client.get(answer.headers["Location"]).get_json()["result"] == 30

    def test_a_client_that_leaves_leaves_a_job(self, client: FlaskClient, store: Store) -> None:
        theirs, ours = socket.socketpair()
        watcher: Watcher = client.application.extensions["everycore.watcher"]
        request = {"json": {"n": 5}, "headers": WAIT, "environ_overrides": {"gunicorn.socket": ours}}
        with theirs, ours, meanwhile(lambda: client.post(URL, **request)) as waiting:
            wait_until(lambda: watcher._waiters)
            theirs.close()
            assert waiting.result(10).status_code == 499

        assert store.counts() == {State.QUEUED: 1}


class TestBodies:
    """Whatever form of body a call takes, a job takes."""

    @pytest.mark.parametrize(
        ("url", "request_", "result"),
        [
            ("example.echo", {"data": b' {"value": 12345678901234567890123} '}, 12345678901234567890123),
            ("example.measure?tags=a&tags=b", {"data": b"\0\xff", "content_type": "image/x"}, b"2ab"),
            (
                "example.measure",
                {"data": {"data": (io.BytesIO(b"\xff" * 5), "f"), "scale": "2", "loud": "true"}},
                b"10!",
            ),
            ("example.double?by=3", {"data": npy([1.0, 2.0]), "content_type": "application/x-npy"}, [3, 6]),
        ],
    )
    def test_it_is_kept_and_read_again(
        self, client: FlaskClient, runner: HandRunner, url: str, request_: dict[str, Any], result: Any
    ) -> None:
        answer = client.post(f"/v1/tasks/{url}", headers=ASYNC, **request_)
        assert answer.status_code == 202, answer.data

        runner.run()

        answer = client.get(f"{answer.get_json()['href']}/result")
        assert (answer.data if isinstance(result, bytes) else answer.get_json()) == result

    @pytest.mark.parametrize(
        ("body", "status"), [(b"{", 400), (b'{"n": "5"}', 422), (b'{"n": 5, "n": 5}', 400)]
    )
    def test_what_does_not_fit_is_refused_at_once(
        self, client: FlaskClient, store: Store, body: bytes, status: int
    ) -> None:
        assert client.post(URL, data=body, headers=ASYNC).status_code == status
        assert store.counts() == {}


class TestIdempotencyKey:
    def test_the_same_call_makes_no_second_job(self, client: FlaskClient, store: Store) -> None:
        headers = ASYNC | {"Idempotency-Key": "order-7"}
        answers = [client.post(URL, json={"n": 5}, headers=headers) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].get_json() == answers[1].get_json()
        # And nor does the same as a submission.
        body = b'{"task": "sum_of_squares", "args": {"n": 5}}'
        again = client.post("/v1/jobs", data=body, headers={"Idempotency-Key": "order-7"})
        assert (again.status_code, again.get_json()["id"]) == (200, answers[0].get_json()["id"])
        assert sum(store.counts().values()) == 1

    def test_another_call_is_refused(self, client: FlaskClient) -> None:
        headers = ASYNC | {"Idempotency-Key": "order-7"}
        client.post(URL, json={"n": 5}, headers=headers)

        answer = client.post(URL, json={"n": 6}, headers=headers)
        assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/idempotency-key-reused")

    def test_who_asks_again_gets_the_answer_that_there_is(
        self, client: FlaskClient, runner: HandRunner
    ) -> None:
        key = {"Idempotency-Key": "order-7"}
        client.post(URL, json={"n": 5}, headers=ASYNC | key)
        (claim,) = runner.claim()
        runner.settle(claim, State.SUCCEEDED, Payload("application/json", b"30"))

        answer = client.post(URL, json={"n": 5}, headers=WAIT | key)

        assert (answer.status_code, answer.get_json()["result"]) == (200, 30)


@pytest.mark.parametrize(
    "prefer",
    [
        "",
        "wait",
        "wait=",
        "wait=soon",
        "wait=-1",
        "wait=1.5",
        "handling=strict",
        ",;=",
        "x;respond-async",
    ],
)
def test_what_is_not_known_is_passed_over(client: FlaskClient, prefer: str) -> None:
    answer = client.post(URL, json={"n": 5}, headers={"Prefer": prefer})

    assert (answer.status_code, answer.get_json()["result"]) == (200, 30)
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize(
    "prefer",
    [
        "Respond-Async",
        "handling=lenient, respond-async",
        'respond-async; foo="a, b"',
        "respond-async=1",
        'return="minimal, respond", respond-async,,',
    ],
)
def test_forms_that_the_standard_has(client: FlaskClient, prefer: str) -> None:
    assert client.post(URL, json={"n": 5}, headers={"Prefer": prefer}).status_code == 202


def test_of_several_waits_the_first_counts(client: FlaskClient) -> None:
    answer = client.post(URL, json={"n": 5}, headers=[("Prefer", 'wait="0"'), ("Prefer", "wait=60")])

    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=0")
