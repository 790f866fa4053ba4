"""What can be done about a job: cancel it, have it tried again, remove it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.api import jobs
from service.jobs.model import Payload, State
from service.jobs.store import Store
from tests.unit.api.job_runs import HandRunner, meanwhile, wait_until

JSON_RESULT = Payload("application/json", b"30")


@pytest.fixture
def href(client: FlaskClient) -> str:
    answer = client.post("/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 5}})
    return str(answer.get_json()["href"])


def assert_wrong_state(answer: Any, state: str) -> None:
    assert (answer.status_code, answer.get_json()["type"]) == (409, "/problems/wrong-state")
    assert f"is {state} and can't be" in answer.get_json()["detail"]


class TestCancel:
    def test_a_job_that_waits_is_cancelled_at_once(self, client: FlaskClient, href: str) -> None:
        answer = client.post(f"{href}/cancel")

        assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")
        assert answer.get_json()["finished_at"]
        assert_wrong_state(client.post(f"{href}/cancel"), "cancelled")

    def test_one_that_runs_is_killed_and_confirmed_dead(
        self, client: FlaskClient, store: Store, runner: HandRunner, href: str
    ) -> None:
        (claim,) = runner.claim()
        with meanwhile(lambda: client.post(f"{href}/cancel")) as cancelling:
            # When its runner hears of it and has killed it
            wait_until(lambda: store.get(claim.job.id).cancel_requested)
            assert not cancelling.done()
            runner.settle(claim, State.CANCELLED)

            # Then the answer says that it has ended
            answer = cancelling.result(10)
        assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")

    def test_one_that_was_faster_has_its_result(
        self, client: FlaskClient, store: Store, runner: HandRunner, href: str
    ) -> None:
        (claim,) = runner.claim()
        with meanwhile(lambda: client.post(f"{href}/cancel")) as cancelling:
            wait_until(lambda: store.get(claim.job.id).cancel_requested)
            runner.settle(claim, State.SUCCEEDED, JSON_RESULT)
            answer = cancelling.result(10)

        assert_wrong_state(answer, "succeeded")

    def test_one_that_does_not_die_in_time_is_only_asked_to(
        self, client: FlaskClient, runner: HandRunner, href: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs, "CANCEL_SECONDS", 0.05)
        runner.claim()

        answer = client.post(f"{href}/cancel")

        assert (answer.status_code, answer.get_json()["state"]) == (202, "running")
        assert answer.get_json()["cancel_requested"] is True
        assert answer.headers["Location"] == href


class TestRetry:
    def test_a_job_that_failed_waits_again(self, client: FlaskClient, runner: HandRunner, href: str) -> None:
        (claim,) = runner.claim()
        runner.settle(claim, State.FAILED, error={"status": 500}, failed=1)

        answer = client.post(f"{href}/retry")

        assert (answer.status_code, answer.headers["Location"]) == (202, href)
        document = answer.get_json()
        assert (document["state"], document["failures"], document["attempts"]) == ("queued", 0, 1)
        runner.run()
        assert client.get(href).get_json()["result"] == 30

    def test_no_other_job_does(self, client: FlaskClient, runner: HandRunner, href: str) -> None:
        assert_wrong_state(client.post(f"{href}/retry"), "queued")
        (claim,) = runner.claim()
        assert_wrong_state(client.post(f"{href}/retry"), "running")
        runner.settle(claim, State.SUCCEEDED, JSON_RESULT)
        assert_wrong_state(client.post(f"{href}/retry"), "succeeded")


class TestDelete:
    def test_a_job_that_has_ended_is_removed(
        self, client: FlaskClient, store: Store, runner: HandRunner, href: str
    ) -> None:
        runner.run()

        answer = client.delete(href)

        assert (answer.status_code, answer.data) == (204, b"")
        assert "Content-Type" not in answer.headers
        assert client.get(href).status_code == 404
        assert client.delete(href).status_code == 404
        assert store.result(href.rpartition("/")[2]) is None

    def test_one_that_has_not_is_kept(self, client: FlaskClient, runner: HandRunner, href: str) -> None:
        assert_wrong_state(client.delete(href), "queued")
        runner.claim()
        assert_wrong_state(client.delete(href), "running")
        assert client.get(href).status_code == 200


@pytest.mark.parametrize("path", ["", "/cancel", "/retry", "/result", "/events", "/deliveries"])
def test_no_query_is_known(client: FlaskClient, href: str, path: str) -> None:
    method = "POST" if path in ("/cancel", "/retry") else "GET"

    answer = client.open(f"{href}{path}?force=1", method=method)

    assert (answer.status_code, answer.get_json()["errors"][0]["loc"]) == (422, ["force"])
