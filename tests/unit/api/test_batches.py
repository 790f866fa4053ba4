"""Batches: all jobs or none, and how far they have come."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.jobs.model import State
from service.jobs.store import Store
from tests.unit.api.job_runs import HandRunner

URL = "/v1/jobs/batch"


def sums(*numbers: Any) -> dict[str, Any]:
    return {"jobs": [{"task": "sum_of_squares", "args": {"n": n}} for n in numbers]}


def test_all_are_taken_in_their_order(client: FlaskClient, runner: HandRunner) -> None:
    answer = client.post(URL, json=sums(5, 3, 2))

    assert answer.status_code == 202
    document = answer.get_json()
    href = f"/v1/batches/{document['id']}"
    assert document.keys() == {"id", "href", "total", "jobs"}
    assert (document["total"], document["href"], answer.headers["Location"]) == (3, href, href)
    runner.run()
    jobs = [client.get(f"/v1/jobs/{job}").get_json() for job in document["jobs"]]
    assert [job["result"] for job in jobs] == [30, 5, 1]
    assert {job["batch"] for job in jobs} == {document["id"]}


def test_each_has_options_of_its_own(client: FlaskClient) -> None:
    body = {"jobs": [{"task": "example.fail", "priority": 5}, {"task": "sum_of_squares", "args": {"n": 1}}]}

    jobs = [
        client.get(f"/v1/jobs/{job}").get_json() for job in client.post(URL, json=body).get_json()["jobs"]
    ]

    assert [(job["task"], job["priority"]) for job in jobs] == [("example.fail", 5), ("sum_of_squares", 0)]


def test_it_tells_how_far_it_has_come(client: FlaskClient, store: Store, runner: HandRunner) -> None:
    href = client.post(URL, json=sums(1, 2)).get_json()["href"]
    states = dict.fromkeys([state.value for state in State], 0)
    document = client.get(href).get_json()
    assert document.keys() == {"id", "href", "owner", "total", "counts", "done", "finished", "created_at"}
    assert (document["counts"], document["done"]) == (states | {"queued": 2}, 0)
    assert document["finished"] is False

    runner.run()

    document = client.get(href).get_json()
    assert (document["counts"], document["done"]) == (states | {"succeeded": 2}, 2)
    assert document["finished"] is True
    # What is deleted had ended
    jobs, _ = store.list()
    store.delete(jobs[0].id)
    assert client.get(href).get_json()["done"] == 2


def test_it_is_cancelled_whole(client: FlaskClient, runner: HandRunner) -> None:
    href = client.post(URL, json=sums(1, 2)).get_json()["href"]
    claims = runner.claim()
    more = client.post(URL, json=sums(1, 2)).get_json()["href"]

    answer = client.post(f"{href}/cancel")
    assert (answer.status_code, answer.get_json()["counts"]["running"]) == (202, 2)
    for claim in claims:
        runner.settle(claim, State.CANCELLED)
    answer = client.post(f"{href}/cancel")
    assert (answer.status_code, answer.get_json()["counts"]["cancelled"]) == (200, 2)

    answer = client.post(f"{more}/cancel")
    assert (answer.status_code, answer.get_json()["counts"]["cancelled"]) == (200, 2)


def test_one_mistake_refuses_all_and_all_mistakes_are_told(client: FlaskClient, store: Store) -> None:
    body = {
        "jobs": [
            {"task": "sum_of_squares", "args": {"n": 5}},
            {"task": "sum_of_squares", "args": {"n": "5"}, "ttl": 0},
            {"task": "nope", "colour": "red"},
            7,
            {"args": {}},
        ]
    }

    answer = client.post(URL, json=body)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/validation")
    assert [tuple(error["loc"]) for error in answer.get_json()["errors"]] == [
        ("jobs", 1, "ttl"),
        ("jobs", 1, "args", "n"),
        ("jobs", 2, "colour"),
        ("jobs", 2, "task"),
        ("jobs", 3),
        ("jobs", 4, "task"),
    ]
    assert store.counts() == {}


def test_of_many_mistakes_the_first_are_listed(client: FlaskClient) -> None:
    document = client.post(URL, json=sums(*["5"] * 150)).get_json()

    assert len(document["errors"]) == 100
    assert document["errors"][17]["loc"] == ["jobs", 17, "args", "n"]
    assert document["detail"].endswith("of the mistakes the first 100 are listed")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["jobs"]),
        ({"jobs": []}, ["jobs"]),
        ({"jobs": {}}, ["jobs"]),
        ({"jobs": [{}] * 10_001}, ["jobs"]),
        (sums(1) | {"webhook": "x"}, ["webhook"]),
        ([], []),
    ],
)
def test_other_forms_are_refused(client: FlaskClient, body: Any, loc: list[str]) -> None:
    answer = client.post(URL, json=body)

    assert (answer.status_code, answer.get_json()["errors"][0]["loc"]) == (422, loc)


def test_arguments_are_kept_as_they_came(client: FlaskClient, store: Store) -> None:
    body = b'{"jobs" :[ {"args":{ "value":1.10},"task":"example.echo"} ,{"task":"example.echo",'
    body += b'"args": {"value": "}]\\""}}]}'

    contents = [store.args(job) for job in client.post(URL, data=body).get_json()["jobs"]]

    assert [args.content for args in contents if args] == [b'{ "value":1.10}', b'{"value": "}]\\""}']


def test_a_batch_takes_no_key(client: FlaskClient, store: Store) -> None:
    answer = client.post(URL, json=sums(1), headers={"Idempotency-Key": "order-7"})

    assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-header")
    assert store.counts() == {}


@pytest.mark.parametrize("batch", ["nope", "00000000-0000-7000-8000-000000000000", "%00"])
def test_what_is_not_there_is_not_found(client: FlaskClient, batch: str) -> None:
    for answer in (client.get(f"/v1/batches/{batch}"), client.post(f"/v1/batches/{batch}/cancel")):
        assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/batch-not-found")
