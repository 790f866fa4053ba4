"""What came of a job: its result, its log, the messages to its webhook."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from service.api.job_documents import MAX_INLINE
from service.engine.fake import FakeEngine
from service.jobs.database import Database
from service.jobs.model import Payload, State
from tests.unit.api.job_runs import HandRunner

URL = "/v1/jobs"
BIG = 10**40


def submit(client: FlaskClient, task: str = "example.fail") -> str:
    return str(client.post(URL, json={"task": task}).get_json()["href"])


def settled(client: FlaskClient, runner: HandRunner, result: Payload) -> str:
    href = submit(client)
    (claim,) = runner.claim()
    runner.settle(claim, State.SUCCEEDED, result)
    return href


class TestResult:
    def test_json_stands_in_the_document_and_by_itself(self, client: FlaskClient, runner: HandRunner) -> None:
        href = settled(client, runner, Payload("application/json", b'{"n":%d,"x":[1.5,null]}' % BIG))

        assert client.get(href).get_json()["result"] == {"n": BIG, "x": [1.5, None]}
        answer = client.get(f"{href}/result")
        assert (answer.status_code, answer.content_type) == (200, "application/json")
        assert answer.data == b'{"n":%d,"x":[1.5,null]}' % BIG

    def test_a_task_that_returns_nothing_has_a_result(self, client: FlaskClient, runner: HandRunner) -> None:
        href = settled(client, runner, Payload("application/json", b"null"))

        assert client.get(href).get_json()["result"] is None
        assert client.get(f"{href}/result").get_json() is None

    @pytest.mark.parametrize(
        ("result", "content_type"),
        [
            (Payload("image/png", b"\x89PNG\0"), "image/png"),
            (Payload("text/html; charset=utf-8", b"<script>"), "text/html; charset=utf-8"),
            (Payload("application/json", b'"' + b"x" * MAX_INLINE + b'"'), "application/json"),
        ],
    )
    def test_bytes_and_large_ones_are_had_by_link(
        self, client: FlaskClient, runner: HandRunner, result: Payload, content_type: str
    ) -> None:
        href = settled(client, runner, result)

        document = client.get(href).get_json()
        assert "result" not in document
        answer = client.get(document["result_href"])
        assert (answer.content_type, answer.data) == (content_type, result.content)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_there_is_none_before_the_end_and_none_of_a_failure(
        self, client: FlaskClient, runner: HandRunner
    ) -> None:
        href = submit(client)
        for state in ("queued", "failed"):
            answer = client.get(f"{href}/result")

            assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/no-result")
            assert f"is {state} and has no result" in answer.get_json()["detail"]
            runner.run()


class TestLog:
    @pytest.fixture
    def href(self, client: FlaskClient, runner: HandRunner) -> str:
        href = submit(client)
        (claim,) = runner.claim()
        runner.say(claim, "one", "zwei ü", "")
        return href

    def test_its_lines_have_numbers_and_times(self, client: FlaskClient, href: str) -> None:
        document = client.get(f"{href}/log").get_json()

        assert document["next"] is None
        assert [(line["seq"], line["line"]) for line in document["lines"]] == [
            *((1, "one"), (2, "zwei ü"), (3, ""))
        ]
        assert document["lines"][0].keys() == {"seq", "attempt", "at", "stream", "line"}
        assert (document["lines"][0]["attempt"], document["lines"][0]["stream"]) == (1, "stdout")

    def test_it_comes_in_pages(self, client: FlaskClient, href: str) -> None:
        page = client.get(f"{href}/log?limit=2")
        assert page.get_json()["next"] == 2
        assert page.headers["Link"] == f'<{href}/log?after=2&limit=2>; rel="next"'

        rest = client.get(f"{href}/log?after=2&limit=2")
        assert [line["seq"] for line in rest.get_json()["lines"]] == [3]
        assert "Link" not in rest.headers
        assert client.get(f"{href}/log?after=3").get_json() == {"lines": [], "next": None}

    def test_it_can_be_had_as_plain_text(self, client: FlaskClient, href: str) -> None:
        answer = client.get(f"{href}/log?limit=2", headers={"Accept": "text/plain"})

        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.text == "one\nzwei ü\n"
        assert 'rel="next"' in answer.headers["Link"]

    @pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "after=" + "9" * 30, "seq=1"])
    def test_a_wrong_query_is_refused(self, client: FlaskClient, href: str, query: str) -> None:
        assert client.get(f"{href}/log?{query}").status_code == 422


class TestDeliveries:
    def test_they_are_listed_without_what_may_be_secret(
        self, make_client: Callable[..., FlaskClient], database: Database
    ) -> None:
        client = make_client(FakeEngine(), webhook_secret="whsec_" + "c2VjcmV0" * 6)
        runner = HandRunner(database)
        body = {"task": "example.fail", "webhook": "https://hooks.example.com/T0KEN?key=s3cret"}
        job = client.post(URL, json=body).get_json()
        assert client.get(job["deliveries"]).get_json() == {"deliveries": []}

        runner.run()

        answer = client.get(job["deliveries"])
        (delivery,) = answer.get_json()["deliveries"]
        assert (delivery["origin"], delivery["event"]) == ("https://hooks.example.com", "job.failed")
        assert (delivery["state"], delivery["attempts"]) == ("pending", 0)
        assert delivery["next_at"]
        assert "T0KEN" not in answer.text
        assert "s3cret" not in answer.text

    def test_a_job_without_a_webhook_has_none(self, client: FlaskClient) -> None:
        assert client.get(f"{submit(client)}/deliveries").get_json() == {"deliveries": []}
