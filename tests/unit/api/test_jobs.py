"""Submitting jobs: what is taken, how it is answered, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service import keys
from service.engine.fake import FakeEngine
from service.jobs.store import Store
from tests.unit.api.job_runs import HandRunner

URL = "/v1/jobs"
SUM = {"task": "sum_of_squares", "args": {"n": 5}}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SECRET = "whsec_" + "c2VjcmV0" * 6


def seconds(moment: str) -> float:
    assert RFC3339.fullmatch(moment)
    return dt.datetime.fromisoformat(moment).timestamp()


def errors_of(answer: Any) -> dict[tuple[str | int, ...], str]:
    assert answer.status_code == 422, answer.data
    document = answer.get_json()
    assert document["type"] == "/problems/validation"
    return {tuple(error["loc"]): error["msg"] for error in document["errors"]}


class TestAnswer:
    def test_it_comes_at_once_and_says_where_the_job_is(self, client: FlaskClient) -> None:
        answer = client.post(URL, json=SUM, headers={"X-Request-ID": "order-7"})

        assert answer.status_code == 202
        document = answer.get_json()
        href = f"/v1/jobs/{document['id']}"
        assert answer.headers["Location"] == document["href"] == href
        assert abs(seconds(document["created_at"]) - time.time()) < 10
        assert document == {
            "id": document["id"],
            "href": href,
            "task": "sum_of_squares",
            "state": "queued",
            "owner": "",
            "request_id": "order-7",
            "priority": 0,
            "timeout": 30,
            "attempts": 0,
            "max_attempts": 1,
            "on_error": "stop",
            "failures": 0,
            "crashes": 0,
            "cancel_requested": False,
            "progress": None,
            "error": None,
            "created_at": document["created_at"],
            "run_at": document["created_at"],
            "expires_at": None,
            "started_at": None,
            "finished_at": None,
            "timing": None,
            "batch": None,
            "parent": None,
            "result_href": None,
            "log": f"{href}/log",
            "events": f"{href}/events",
            "deliveries": None,
        }
        assert client.get(href).get_json() == document

    def test_the_job_does_what_the_task_does(self, client: FlaskClient, runner: HandRunner) -> None:
        href = client.post(URL, json=SUM).get_json()["href"]

        runner.run()

        document = client.get(href).get_json()
        assert (document["state"], document["result"], document["attempts"]) == ("succeeded", 30, 1)
        assert document["timing"].keys() == {"run", "cpu"}
        assert seconds(document["created_at"]) <= seconds(document["started_at"])
        assert seconds(document["started_at"]) <= seconds(document["finished_at"])

    def test_it_knows_the_request_and_the_key_that_it_came_with(
        self, make_client: Callable[..., FlaskClient], store: Store, tmp_path: Path
    ) -> None:
        text, key = keys.new("somebody")
        client = make_client(FakeEngine(), api_keys=key.line(), runtime_dir=tmp_path)

        headers = {"X-Request-ID": "order-7", "Authorization": f"Bearer {text}"}
        document = client.post(URL, json=SUM, headers=headers).get_json()

        assert document["owner"] == "somebody"
        job = store.get(document["id"])
        assert (job.owner, job.request_id) == ("somebody", "order-7")

    def test_a_job_that_failed_has_the_problem(self, client: FlaskClient, runner: HandRunner) -> None:
        href = client.post(URL, json={"task": "example.fail"}).get_json()["href"]

        runner.run()

        document = client.get(href).get_json()
        assert (document["state"], document["failures"]) == ("failed", 1)
        assert document["error"]["type"] == "/problems/task-failed"
        assert "secret plan" not in json.dumps(document)
        assert "result" not in document


class TestOptions:
    def test_each_is_kept(self, make_client: Callable[..., FlaskClient], store: Store) -> None:
        client = make_client(FakeEngine(), webhook_secret=SECRET)
        options = {
            "timeout": 2.5,
            "max_attempts": 7,
            "priority": -3,
            "run_at": "2030-01-31t12:00:00.5+01:00",
            "ttl": 60,
            "webhook": "https://hooks.example.com/path?secret=1",
        }
        answer = client.post(URL, json=SUM | options)

        assert answer.status_code == 202, answer.data
        document = answer.get_json()
        assert (document["timeout"], document["max_attempts"], document["priority"]) == (2.5, 7, -3)
        assert document["run_at"] == "2030-01-31T11:00:00.500000Z"
        assert document["expires_at"] == "2030-01-31T11:01:00.500000Z"
        assert document["deliveries"] == f"{document['href']}/deliveries"
        assert "secret=1" not in answer.text
        assert store.get(document["id"]).webhook == options["webhook"]

    def test_a_delay_counts_from_now_and_so_does_a_ttl_without_one(self, client: FlaskClient) -> None:
        document = client.post(URL, json=SUM | {"delay": 100, "ttl": 50}).get_json()

        created = seconds(document["created_at"])
        assert seconds(document["run_at"]) - created == pytest.approx(100, abs=5)
        assert seconds(document["expires_at"]) - created == pytest.approx(150, abs=5)
        document = client.post(URL, json=SUM | {"ttl": 50}).get_json()
        assert seconds(document["expires_at"]) - seconds(document["run_at"]) == pytest.approx(50, abs=5)

    def test_a_time_that_has_passed_is_now(self, client: FlaskClient) -> None:
        document = client.post(URL, json=SUM | {"run_at": "0001-01-01T00:00:00+14:00", "ttl": 50}).get_json()

        assert document["run_at"] == document["created_at"]
        assert seconds(document["expires_at"]) > time.time()

    def test_what_neither_says_is_the_settings(self, make_client: Callable[..., FlaskClient]) -> None:
        client = make_client(FakeEngine(), job_timeout=77)

        assert client.post(URL, json={"task": "example.fail"}).get_json()["timeout"] == 77
        assert client.post(URL, json={"task": "example.fail", "timeout": None}).get_json()["timeout"] == 77

    @pytest.mark.parametrize(
        ("options", "at", "complaint"),
        [
            ({"timeout": 0}, "timeout", "greater than 0"),
            ({"timeout": 1e9}, "timeout", "less than or equal to 2592000"),
            ({"timeout": "5"}, "timeout", "valid number"),
            ({"timeout": True}, "timeout", "valid number"),
            ({"max_attempts": 0}, "max_attempts", "greater than or equal to 1"),
            ({"max_attempts": 101}, "max_attempts", "less than or equal to 100"),
            ({"max_attempts": 1.5}, "max_attempts", "integer"),
            ({"priority": 101}, "priority", "less than or equal to 100"),
            ({"priority": -101}, "priority", "greater than or equal to -100"),
            ({"priority": None}, "priority", "integer"),
            ({"run_at": "tomorrow"}, "run_at", "RFC 3339"),
            ({"run_at": "2030-01-31T12:00:00"}, "run_at", "zone"),
            ({"run_at": "2030-13-31T12:00:00Z"}, "run_at", "RFC 3339"),
            ({"run_at": "9999-12-31T23:59:59-23:59"}, "run_at", "ten years"),
            ({"run_at": 1893456000}, "run_at", "RFC 3339"),
            ({"delay": -1}, "delay", "greater than or equal to 0"),
            ({"delay": 1, "run_at": "2030-01-31T12:00:00Z"}, "delay", "run_at"),
            ({"ttl": 0}, "ttl", "greater than 0"),
            ({"webhook": "https://example.com/"}, "webhook", "SERVICE_WEBHOOK_SECRET"),
            ({"webhook": 7}, "webhook", "valid string"),
            ({"color": "red"}, "color", "not permitted"),
            ({"args": [5]}, "args", "valid dictionary"),
            ({"task": 5}, "task", "valid string"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_place(
        self, client: FlaskClient, store: Store, options: dict[str, Any], at: str, complaint: str
    ) -> None:
        found = errors_of(client.post(URL, json=SUM | options))

        assert list(found) == [(at,)]
        assert complaint in found[(at,)]
        assert store.counts() == {}

    def test_numbers_that_json_can_write_and_nobody_can_wait_for_are_refused(
        self, client: FlaskClient
    ) -> None:
        body = b'{"task": "sum_of_squares", "args": {"n": 5}, "delay": 1e999, "timeout": 1e999, "ttl": 1e999}'

        assert set(errors_of(client.post(URL, data=body))) == {("delay",), ("timeout",), ("ttl",)}

    @pytest.mark.parametrize(
        ("url", "complaint"),
        [
            ("http://127.0.0.1/", "not a public address"),
            ("http://[::1]/", "not a public address"),
            ("http://localhost/", "not a public address"),
            ("ftp://example.com/", "https:// or http://"),
            ("https://user:password@example.com/", "no user and no password"),
            ("https://example.com/\0", "plain ASCII"),
        ],
    )
    def test_webhooks_lead_to_public_addresses_only(
        self, make_client: Callable[..., FlaskClient], url: str, complaint: str
    ) -> None:
        client = make_client(FakeEngine(), webhook_secret=SECRET)

        assert complaint in errors_of(client.post(URL, json=SUM | {"webhook": url}))[("webhook",)]

    def test_unless_they_are_allowed(self, make_client: Callable[..., FlaskClient]) -> None:
        client = make_client(FakeEngine(), webhook_secret=SECRET, webhook_allow=("127.0.0.0/8",))

        assert client.post(URL, json=SUM | {"webhook": "http://127.0.0.1:9/"}).status_code == 202


class TestArguments:
    def test_those_that_do_not_fit_are_refused_all_at_once(self, client: FlaskClient) -> None:
        body = {"task": "sum_of_squares", "args": {"n": "7", "colour": 1}, "ttl": -1, "priority": 1000}

        found = errors_of(client.post(URL, json=body))

        assert set(found) == {("args", "n"), ("args", "colour"), ("ttl",), ("priority",)}

    def test_lacking_ones_are_told(self, client: FlaskClient) -> None:
        assert errors_of(client.post(URL, json={"task": "sum_of_squares"})) == {
            ("args", "n"): "Field required"
        }

    @pytest.mark.parametrize(
        "text",
        [
            b'{"value":123456789012345678901234567890}',
            b'{ "value" : 0.12345678901234567890123456789 }',
            b'{"value":[1E5,-0,"\\u00e9\\n",{"args":{"value":1}}]}',
            b'{"\\u0076alue":"caf\xc3\xa9"}',
            b'\t{"value"\n:{}}  ',
        ],
    )
    def test_they_are_kept_as_they_came(self, client: FlaskClient, store: Store, text: bytes) -> None:
        for body in (b'{"task":"example.echo","args":%b}', b'\n{"args" : %b , "task":"example.echo"} '):
            answer = client.post(URL, data=body % text)

            args = store.args(answer.get_json()["id"])
            assert args is not None
            assert args.content == text.strip()

    def test_a_validator_that_breaks_is_the_tasks_failure(self, client: FlaskClient) -> None:
        answer = client.post(URL, json={"task": "example.checked", "args": {"n": 13}})

        assert answer.status_code == 500
        assert answer.get_json()["type"] == "/problems/task-failed"
        assert "secret" not in answer.text


class TestBody:
    @pytest.mark.parametrize(
        ("body", "status", "problem"),
        [
            (b"{", 400, "malformed-json"),
            (b"", 400, "malformed-json"),
            (b'{"task": NaN}', 400, "malformed-json"),
            (b'{"task": "a", "task": "b"}', 400, "malformed-json"),
            (b'{"task": "\\ud800"}', 400, "malformed-json"),
            (b'{"task": "\xff"}', 400, "malformed-json"),
            (b"[" * 300, 400, "malformed-json"),
            (b"[]", 422, "validation"),
            (b"null", 422, "validation"),
            (b"{}", 422, "validation"),
            (b'{"task": "nope"}', 404, "task-not-found"),
            (b'{"task": "nope\\u0000"}', 404, "task-not-found"),
            (b'{"task": ""}', 404, "task-not-found"),
            (b"x" * 100_001, 413, "body-too-large"),
        ],
    )
    def test_anything_else_is_refused(
        self, client: FlaskClient, body: bytes, status: int, problem: str
    ) -> None:
        answer = client.post(URL, data=body)

        assert (answer.status_code, answer.get_json()["type"]) == (status, f"/problems/{problem}")

    def test_it_must_be_json(self, client: FlaskClient) -> None:
        assert client.post(URL, data={"task": "sum_of_squares"}).status_code == 415
        assert client.post(URL, data=b"{}", headers={"Content-Encoding": "gzip"}).status_code == 415

    def test_the_query_is_empty(self, client: FlaskClient) -> None:
        assert set(errors_of(client.post(f"{URL}?wait=5", json=SUM))) == {("wait",)}


class TestIdempotencyKey:
    def test_the_same_submission_makes_no_second_job(self, client: FlaskClient, store: Store) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = client.post(URL, json=SUM, headers=headers)

        again = client.post(URL, json={"args": {"n": 5}, "task": "sum_of_squares"}, headers=headers)

        assert (first.status_code, again.status_code) == (202, 200)
        assert again.get_json() == first.get_json()
        assert again.headers["Location"] == first.headers["Location"]
        assert sum(store.counts().values()) == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"task": "sum_of_squares", "args": {"n": 6}},
            {"task": "process_data", "args": {"item": 5}},
            SUM | {"priority": 1},
            SUM | {"delay": 1},
            SUM | {"ttl": 1},
        ],
    )
    def test_another_one_is_refused(self, client: FlaskClient, other: dict[str, Any]) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = client.post(URL, json=SUM, headers=headers).get_json()

        answer = client.post(URL, json=other, headers=headers)

        assert answer.status_code == 422
        assert answer.get_json()["type"] == "/problems/idempotency-key-reused"
        assert first["id"] in answer.get_json()["detail"]

    def test_a_delay_is_the_same_whenever_it_is_asked_for(self, client: FlaskClient) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = client.post(URL, json=SUM | {"delay": 60}, headers=headers).get_json()

        assert client.post(URL, json=SUM | {"delay": 60}, headers=headers).get_json()["id"] == first["id"]

    def test_without_one_each_submission_is_a_job(self, client: FlaskClient, store: Store) -> None:
        for _ in range(2):
            assert client.post(URL, json=SUM).status_code == 202

        assert sum(store.counts().values()) == 2

    def test_each_owner_has_keys_of_its_own(
        self, make_client: Callable[..., FlaskClient], tmp_path: Path
    ) -> None:
        made = [keys.new(name) for name in ("one", "two")]
        lines = ",".join(key.line() for _, key in made)
        client = make_client(FakeEngine(), api_keys=lines, runtime_dir=tmp_path)

        ids = {
            client.post(
                URL, json=SUM, headers={"Idempotency-Key": "order-7", "Authorization": f"Bearer {text}"}
            ).get_json()["id"]
            for text, _ in made
        }

        assert len(ids) == 2

    @pytest.mark.parametrize("key", ["", " ", "a b", "é", "k" * 256])
    def test_one_that_can_not_be_is_refused(self, client: FlaskClient, key: str) -> None:
        answer = client.post(URL, json=SUM, headers={"Idempotency-Key": key})

        assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-header")
        assert client.post(URL, json=SUM, headers={"Idempotency-Key": "k" * 255}).status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/nope",
        "/v1/jobs/00000000-0000-7000-8000-000000000000",
        "/v1/jobs/00000000-0000-7000-8000-00000000000A",
        "/v1/jobs/00000000-0000-7000-8000-000000000000%00",
        "/v1/jobs/%00",
        "/v1/jobs/batch",
        "/v1/jobs/..%2f..%2fetc",
        "/v1/jobs/%ff%fe",
        "/v1/jobs/" + "0" * 5000,
    ],
)
def test_what_is_not_there_is_not_found(client: FlaskClient, path: str) -> None:
    for method, end in [
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/log"),
        ("GET", "/events"),
        ("GET", "/deliveries"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ]:
        answer = client.open(path + end, method=method)

        assert answer.status_code == 404, (method, end)
        assert answer.get_json()["type"] in ("/problems/job-not-found", "/problems/not-found")


def test_metrics_tell_how_many_wait(client: FlaskClient) -> None:
    assert client.post(URL, json=SUM).status_code == 202
    assert client.post(URL, json=SUM | {"delay": 60}).status_code == 202

    lines = client.get("/metrics").text.splitlines()

    assert "everycore_store_up 1.0" in lines
    assert 'everycore_jobs{state="queued"} 1.0' in lines
    assert 'everycore_jobs{state="scheduled"} 1.0' in lines
    assert 'everycore_jobs{state="running"} 0.0' in lines
    assert "everycore_runners 0.0" in lines
