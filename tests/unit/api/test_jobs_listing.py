"""Lists of jobs: filters, pages, and what is refused in a query."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.job_runs import HandRunner

URL = "/v1/jobs"


def submit(client: FlaskClient, n: int = 1, task: str = "sum_of_squares", **options: Any) -> str:
    body = {"task": task, "args": {"n": n} if task == "sum_of_squares" else {}} | options
    return str(client.post(URL, json=body).get_json()["id"])


def ids(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"{URL}{query}")
    assert answer.status_code == 200, answer.data
    return [job["id"] for job in answer.get_json()["jobs"]]


def test_the_newest_come_first(client: FlaskClient) -> None:
    submitted = [submit(client, n) for n in range(3)]

    assert ids(client) == submitted[::-1]
    assert client.get(URL).get_json()["next"] is None


def test_pages_follow_each_other_though_jobs_come_in(client: FlaskClient) -> None:
    submitted = [submit(client, n) for n in range(5)]
    found, path = [], f"{URL}?limit=2"
    while True:
        page = client.get(path).get_json()
        found += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        submit(client)
        path = f"{URL}?limit=2&cursor={page['next']}"

    assert found == submitted[::-1]


def test_they_are_filtered_by_state_and_task(client: FlaskClient, runner: HandRunner) -> None:
    done, failed = submit(client), submit(client, task="example.fail")
    runner.run()
    waiting = submit(client)

    assert ids(client, "?state=queued") == [waiting]
    assert ids(client, "?state=succeeded,failed") == [failed, done]
    assert ids(client, "?state=succeeded&state=failed") == [failed, done]
    assert ids(client, "?state=succeeded,failed&task=example.fail") == [failed]
    assert ids(client, "?task=of.another.version") == []


def test_they_are_filtered_by_time_and_batch(client: FlaskClient) -> None:
    before = submit(client)
    body = {"jobs": [{"task": "example.fail"}] * 2}
    batch = client.post(f"{URL}/batch", json=body).get_json()
    since = client.get(f"{URL}/{batch['jobs'][0]}").get_json()["created_at"]

    assert ids(client, f"?batch={batch['id']}") == batch["jobs"][::-1]
    assert ids(client, f"?since={since}")[:2] == batch["jobs"][::-1]
    assert ids(client, "?since=2999-01-01T00:00:00Z") == []
    assert before not in ids(client, "?until=2001-01-01T00:00:00%2B01:00")
    assert len(ids(client, "?since=2001-01-01T00:00:00Z&until=2999-01-01T00:00:00Z")) == 3


def test_no_result_stands_in_a_list(client: FlaskClient, runner: HandRunner) -> None:
    submit(client)
    runner.run()

    (job,) = client.get(URL).get_json()["jobs"]
    assert "result" not in job
    assert job["result_href"] == f"{job['href']}/result"


@pytest.mark.parametrize(
    ("query", "at", "complaint"),
    [
        ("state=done", "state", "queued, running, succeeded, failed, cancelled, expired"),
        ("state=", "state", "queued"),
        ("state=queued,,failed", "state", "queued"),
        ("task=%00", "task", "pattern"),
        ("task=a&task=b", "task", "more than once"),
        ("batch=7", "batch", "id"),
        ("cursor=%00", "cursor", "id"),
        ("since=yesterday", "since", "RFC 3339"),
        ("until=2030-01-31", "until", "RFC 3339"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=1001", "limit", "less than or equal to 1000"),
        ("limit=", "limit", "integer"),
        ("limit=1.5", "limit", "integer"),
        ("limit=%D9%A3", "limit", "integer"),
        ("limit=" + "9" * 5000, "limit", "integer"),
        ("limit=1&limit=2", "limit", "more than once"),
        ("status=queued", "status", "there are state, task, batch"),
        ("%ff=%ff", "%FF", "no such parameter"),
    ],
)
def test_what_is_wrong_is_told_with_what_would_be_right(
    client: FlaskClient, query: str, at: str, complaint: str
) -> None:
    answer = client.get(f"{URL}?{query}")

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/validation")
    (error,) = answer.get_json()["errors"]
    assert error["loc"] == [at]
    assert complaint in error["msg"]


def test_all_that_is_wrong_is_told_at_once(client: FlaskClient) -> None:
    errors = client.get(f"{URL}?limit=x&state=y&z=1").get_json()["errors"]

    assert sorted(error["loc"][0] for error in errors) == ["limit", "state", "z"]
