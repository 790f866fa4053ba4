"""Arrays over HTTP: nested lists in JSON, .npy files as bodies, as files of a form and as answers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.tasks.arrays import dump

MULTIPLY = "/v1/tasks/matrix_multiply"
CLASSIFY = "/v1/tasks/classify_digits"
DOUBLE = "/v1/tasks/example.double"
NPY = "application/x-npy"

A = np.array([[1.0, 2.0], [3.0, 4.0]])
B = np.array([[0.0, 1.0], [1.0, 0.5]])
PRODUCT = [[2.0, 2.0], [4.0, 5.0]]


def loaded(data: bytes) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def form(**arrays: np.ndarray) -> dict[str, Any]:
    return {name: (io.BytesIO(dump(array)), f"{name}.npy") for name, array in arrays.items()}


def test_lists_come_and_go_as_json(client: FlaskClient) -> None:
    answer = client.post(MULTIPLY, json={"a": A.tolist(), "b": B.tolist()})

    assert answer.status_code == 200
    assert answer.get_json()["result"] == PRODUCT


def test_a_form_holds_arrays_as_files(client: FlaskClient) -> None:
    answer = client.post(MULTIPLY, data=form(a=A, b=B))

    assert answer.status_code == 200
    assert answer.get_json()["result"] == PRODUCT


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (NPY, NPY),
        ("application/x-npy, application/problem+json", NPY),
        ("application/json;q=0.5, application/x-npy", NPY),
        ("application/x-npy;q=0.5, application/json", "application/json"),
        ("application/json, application/x-npy", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html", "application/json"),
        ("application/x-npy;q=0", "application/json"),
        ("", "application/json"),
        (";;;,\xff", "application/json"),
    ],
)
def test_the_answer_is_a_file_for_who_asks_for_one(client: FlaskClient, accept: str, media_type: str) -> None:
    answer = client.post(MULTIPLY, data=form(a=A, b=B), headers={"Accept": accept})

    assert (answer.status_code, answer.content_type) == (200, media_type)
    if media_type == NPY:
        assert loaded(answer.data).tolist() == PRODUCT
        assert "run;dur=" in answer.headers["Server-Timing"]


def test_a_raw_body_is_the_only_array_and_the_query_the_rest(client: FlaskClient) -> None:
    answer = client.post(f"{DOUBLE}?by=3", data=dump(A), content_type=NPY, headers={"Accept": NPY})

    assert answer.status_code == 200
    np.testing.assert_array_equal(loaded(answer.data), 3 * A)


def test_a_task_without_an_array_as_result_answers_json(client: FlaskClient) -> None:
    blank = dump(np.zeros((3, 8, 8), np.uint8))

    answer = client.post(CLASSIFY, data=blank, content_type=NPY, headers={"Accept": NPY})

    assert answer.content_type == "application/json"
    assert [set(entry) for entry in answer.get_json()["result"]] == [{"digit", "confidence"}] * 3


def test_a_task_tells_that_it_takes_arrays(client: FlaskClient) -> None:
    accepts = {url: client.get(url).get_json()["accepts"] for url in (MULTIPLY, CLASSIFY)}

    assert accepts == {
        MULTIPLY: ["application/json", "multipart/form-data"],
        CLASSIFY: ["application/json", "multipart/form-data", NPY],
    }


def test_a_raw_body_fills_no_two_arrays(client: FlaskClient) -> None:
    answer = client.post(MULTIPLY, data=dump(A), content_type=NPY)

    assert answer.status_code == 415
    assert "multipart/form-data" in answer.get_json()["detail"]


@pytest.mark.parametrize("media_type", [NPY, "multipart/form-data"])
def test_a_task_without_arrays_takes_none(client: FlaskClient, media_type: str) -> None:
    answer = client.post("/v1/tasks/sum_of_squares", data=dump(A), content_type=media_type)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        dump(A)[:-1],
        dump(A) + b"\0",
        dump(np.array([[np.nan]])),
        dump(np.array([1j])),
        b"\x93NUMPY\1\0\x46\0{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,)}      \n",
        b"\x93NUMPY\1\0\x26\0{'descr': '|O', 'shape': (1,), 'x': 1}\n",
        b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535,
        b"PK\3\4",
    ],
)
@pytest.mark.filterwarnings("default")
def test_hostile_files_get_a_problem_and_never_reach_the_engine(
    client: FlaskClient, engine: FakeEngine, data: bytes
) -> None:
    raw = client.post(DOUBLE, data=data, content_type=NPY)
    part = client.post(MULTIPLY, data=form(a=A) | {"b": (io.BytesIO(data), "b.npy")})

    for answer, name in ((raw, "array"), (part, "b")):
        assert answer.status_code == 422
        assert answer.get_json()["type"] == "/problems/validation"
        assert [error["loc"] for error in answer.get_json()["errors"]] == [[name]]
    assert engine.calls == []


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        ({"a": [[1, 2]], "b": [[1, 2]]}, "a has 2 columns and b has 1 rows"),
        ({"a": [[1e200]], "b": [[1e200]]}, "beyond those of double precision"),
    ],
)
def test_what_the_task_refuses_is_the_clients_fault(
    client: FlaskClient, arguments: dict[str, Any], detail: str
) -> None:
    answer = client.post(MULTIPLY, json=arguments)

    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid-input")
    assert detail in answer.get_json()["detail"]


@pytest.mark.parametrize("accept", [NPY, "application/json"])
@pytest.mark.parametrize("by", ["object", "nothing"])
def test_a_result_that_is_no_array_of_numbers_is_a_problem(client: FlaskClient, accept: str, by: str) -> None:
    answer = client.post(f"{DOUBLE}?fail={by}", data=dump(A), content_type=NPY, headers={"Accept": accept})

    if (by, accept) == ("nothing", "application/json"):
        assert answer.get_json()["result"] is None
    else:
        assert answer.status_code == 500
        assert answer.get_json()["type"] == "/problems/result-not-serializable"


def test_a_password_is_in_no_answer_but_its_own_and_in_no_log(
    client: FlaskClient, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a password that would be noticed
    secret = "swordfish-7291"

    # When it is hashed, verified, and sent with mistakes of every kind
    kept = client.post("/v1/tasks/hash_password", json={"password": secret, "ln": 13}).get_json()["result"]
    answers = [
        client.post("/v1/tasks/verify_password", json={"password": secret, "hash": kept}),
        client.post("/v1/tasks/verify_password", json={"password": secret, "hash": secret}),
        client.post("/v1/tasks/hash_password", json={"password": secret * 100}),
        client.post("/v1/tasks/hash_password", json={"password": [secret], "salt": secret}),
        client.post("/v1/tasks/hash_password", data=f'{{"password": "{secret}'.encode()),
        client.post("/v1/tasks/hash_password", json={secret: secret, "password": secret, "ln": 99}),
    ]

    # Then no answer repeats it where it was a value
    assert [answer.status_code for answer in answers] == [200, 422, 422, 422, 400, 422]
    assert answers[0].get_json()["result"] is True
    assert not [answer.text for answer in answers[:-1] if secret in answer.text]
    # And no log line has it
    said = capfd.readouterr()
    assert '"status": 422' in said.out
    assert secret not in said.out + said.err
