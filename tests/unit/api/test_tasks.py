"""Tasks over HTTP."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from service.engine.base import Call
from service.engine.fake import FakeEngine

URL = "/v1/tasks/sum_of_squares"


def image(width: int = 40, height: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def test_there_is_a_list_of_tasks(client: FlaskClient) -> None:
    tasks = client.get("/v1/tasks").get_json()["tasks"]

    names = [task["name"] for task in tasks]
    assert names == sorted(names)
    assert {"process_data", "sum_of_squares", "thumbnail"} <= set(names)


def test_a_task_tells_what_it_takes_and_returns(client: FlaskClient) -> None:
    answer = client.get(URL)

    assert answer.status_code == 200
    assert answer.get_json() == {
        "name": "sum_of_squares",
        "href": URL,
        "description": "Sum of i*i for 0 <= i < n.",
        "cpu": 1,
        "timeout": 30,
        "streams": False,
        "accepts": ["application/json"],
        "arguments": {
            "type": "object",
            "title": "sum_of_squares",
            "description": "Sum of i*i for 0 <= i < n.",
            "properties": {"n": {"type": "integer", "title": "N", "minimum": 0, "maximum": 100_000_000}},
            "required": ["n"],
            "additionalProperties": False,
        },
        "result": {"type": "integer"},
    }
    assert client.get("/v1/tasks/thumbnail").get_json()["accepts"][-1] == "video/*"


def test_a_task_runs(client: FlaskClient, engine: FakeEngine) -> None:
    # Given a request with an id of its own
    headers = {"X-Request-ID": "order-7"}

    # When it asks for a task
    answer = client.post(URL, json={"n": 5}, headers=headers)

    # Then the result comes with its timing
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    document = answer.get_json()
    assert (document["task"], document["result"]) == ("sum_of_squares", 30)
    assert set(document["timing"]) == {"queued", "run", "cpu", "total", "pid"}
    assert all(value >= 0 for value in document["timing"].values())
    # And the engine knew what for and how long
    assert engine.calls == [Call("sum_of_squares", {"n": 5}, 0, "order-7", 30)]


def test_a_body_without_a_media_type_is_taken_for_json(client: FlaskClient) -> None:
    assert client.post(URL, data=b'{"n": 5}').get_json()["result"] == 30


def test_a_media_type_may_name_its_charset(client: FlaskClient) -> None:
    answer = client.post(URL, data=b'{"n": 5}', content_type="Application/JSON; charset=utf-8")

    assert answer.get_json()["result"] == 30


def test_arguments_that_do_not_fit_are_all_reported(client: FlaskClient) -> None:
    answer = client.post("/v1/tasks/thumbnail", json={"width": 0, "height": "9", "colour": 1})

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    problem = answer.get_json()
    assert problem["type"] == "/problems/validation"
    assert problem["instance"] == "/v1/tasks/thumbnail"
    assert [error["loc"] for error in problem["errors"]] == [["image"], ["width"], ["height"], ["colour"]]
    assert all(error["msg"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "malformed-json"),
        (b"{", 400, "malformed-json"),
        (b"n=5", 400, "malformed-json"),
        (b'{"n": 5}{}', 400, "malformed-json"),
        (b'{"\xff": 5}', 400, "malformed-json"),
        (b"\xff\xfe{\0}\0", 400, "malformed-json"),
        (b"[" * 90_000, 400, "malformed-json"),
        (b'{"n":' * 15_000, 400, "malformed-json"),
        (b'{"n": ' + b"9" * 5000 + b"}", 400, "malformed-json"),
        (b"[]", 422, "validation"),
        (b"null", 422, "validation"),
        (b"5", 422, "validation"),
        (b"{}", 422, "validation"),
        (b'{"n": NaN}', 400, "malformed-json"),
        (b'{"n": Infinity}', 400, "malformed-json"),
        (b'{"n": 5, "n": 5}', 400, "malformed-json"),
        (b'{"n": true}', 422, "validation"),
        (b'{"n": "5"}', 422, "validation"),
        (b'{"n": 5.0}', 422, "validation"),
        (b'{"n": -1}', 422, "validation"),
        (b'{"n": 100000001}', 422, "validation"),
        (b'{"n": ' + b"9" * 4000 + b"}", 422, "validation"),
        (b'{"n": 5, "m": 5}', 422, "validation"),
        (b'{"n": 5, "self": 5, "argument_0": 5}', 422, "validation"),
        (b'{"argument_0": 5}', 422, "validation"),
        (b'{"n": 5, "a\\u0000b": 5}', 422, "validation"),
        (b'{"n": 1' + b" " * 100_000 + b"}", 413, "body-too-large"),
    ],
)
def test_hostile_bodies_get_a_problem_and_never_reach_the_engine(
    client: FlaskClient, engine: FakeEngine, body: bytes, status: int, slug: str
) -> None:
    answer = client.post(URL, data=body, content_type="application/json")

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    problem = answer.get_json()
    assert (problem["status"], problem["type"]) == (status, f"/problems/{slug}")
    assert problem["title"]
    assert problem["detail"]
    assert engine.calls == []


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "..",
        "%2e%2e",
        "sum_of_squares%00",
        "SUM_OF_SQUARES",
        "a%2Fb",
        "%ff",
        "x" * 3000,
        "%0d%0aSet-Cookie:x",
    ],
)
def test_a_task_that_does_not_exist_is_not_found(client: FlaskClient, name: str) -> None:
    for answer in (client.get(f"/v1/tasks/{name}"), client.post(f"/v1/tasks/{name}", json={})):
        assert answer.status_code == 404
        assert answer.content_type == "application/problem+json"
        assert answer.get_json()["type"] in ("/problems/task-not-found", "/problems/not-found")


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "image/png",
        "json",
    ],
)
def test_a_media_type_that_the_task_does_not_take_is_refused(
    client: FlaskClient, engine: FakeEngine, media_type: str
) -> None:
    answer = client.post(URL, data=b'{"n": 5}', content_type=media_type)

    assert answer.status_code == 415
    assert "application/json" in answer.get_json()["detail"]
    assert engine.calls == []


@pytest.mark.parametrize("media_type", ["model/obj", "application/x-www-form-urlencoded", "imagery/png"])
def test_a_task_for_uploads_names_what_it_takes(client: FlaskClient, media_type: str) -> None:
    answer = client.post("/v1/tasks/thumbnail", data=image(), content_type=media_type)

    assert answer.status_code == 415
    assert "multipart/form-data" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    "media_type",
    [
        *("image/png", "video/mp4", "text/plain; charset=utf-8"),
        *("application/octet-stream", "application/zip", "application/gzip", "application/x-gzip"),
    ],
)
def test_a_raw_body_is_the_upload_and_the_query_the_rest(client: FlaskClient, media_type: str) -> None:
    answer = client.post("/v1/tasks/thumbnail?width=10&format=png", data=image(), content_type=media_type)

    assert answer.status_code == 200
    assert answer.content_type == "image/png"
    assert Image.open(io.BytesIO(answer.data)).size == (10, 5)
    assert "run;dur=" in answer.headers["Server-Timing"]


def test_a_form_holds_the_upload_as_a_file(client: FlaskClient) -> None:
    form = {"image": (io.BytesIO(image()), "red.png"), "width": "10"}

    answer = client.post("/v1/tasks/thumbnail", data=form)

    assert answer.content_type == "image/jpeg"
    assert Image.open(io.BytesIO(answer.data)).size == (10, 5)


def test_json_holds_the_upload_as_base64(client: FlaskClient) -> None:
    document = {"image": base64.b64encode(image()).decode(), "width": 10}

    answer = client.post("/v1/tasks/thumbnail", json=document)

    assert Image.open(io.BytesIO(answer.data)).size == (10, 5)


@pytest.mark.parametrize(
    ("query", "locs"),
    [
        ("width=ten", [["width"]]),
        ("width=0&height=-1&format=gif", [["width"], ["height"], ["format"]]),
        ("width=1&width=2", [["width"]]),
        ("colour=red", [["colour"]]),
        ("width=%ff", [["width"]]),
        ("width=" + "9" * 5000, [["width"]]),
    ],
)
def test_a_query_that_does_not_fit_is_reported(client: FlaskClient, query: str, locs: list[Any]) -> None:
    answer = client.post(f"/v1/tasks/thumbnail?{query}", data=image(), content_type="image/png")

    assert answer.status_code == 422
    assert [error["loc"] for error in answer.get_json()["errors"]] == locs


def test_a_field_given_twice_is_a_list(client: FlaskClient) -> None:
    answer = client.post(
        "/v1/tasks/example.measure?scale=2&loud=true&tags=a&tags=b", data=b"four", content_type="image/x"
    )

    assert answer.text == "8!ab"
    assert answer.content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "multipart/form-data", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (b"no form at all", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            422,
        ),
        (b"--x\r\n\r\nv\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"", "multipart/form-data; boundary=\xe9", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="width"\r\n\r\n1\r\n' * 101 + b"--x--\r\n",
            "multipart/form-data; boundary=x",
            400,
        ),
    ],
)
def test_a_broken_form_is_a_problem(client: FlaskClient, body: bytes, media_type: str, status: int) -> None:
    # As a stream: the client would make an empty form whole.
    answer = client.post(
        "/v1/tasks/thumbnail",
        input_stream=io.BytesIO(body),
        headers={"Content-Length": str(len(body))},
        content_type=media_type,
    )

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("data", [b"", b"not a picture", image()[:50]])
def test_input_that_the_task_refuses_is_the_clients_fault(client: FlaskClient, data: bytes) -> None:
    answer = client.post("/v1/tasks/thumbnail", data=data, content_type="image/png")

    assert answer.status_code == 422
    assert answer.get_json()["type"] == "/problems/invalid-input"
    assert answer.get_json()["detail"].startswith("the image")


@pytest.mark.parametrize(
    ("what", "result"),
    [
        ("big", 10**30),
        ("model", {"n": 1, "when": "2026-11-23"}),
        ("dataclass", {"left": 1, "right": 0.5}),
        ("date", "2026-11-23T00:00:00Z"),
        ("array", [0, 1, 2]),
        ("number", 3),
        ("set", [1]),
        ("inner bytes", ["_w=="]),
        ("surrogate", "\ud800"),
        ("none", None),
    ],
)
def test_results_have_their_usual_form_in_json(client: FlaskClient, what: str, result: Any) -> None:
    answer = client.post("/v1/tasks/example.make", json={"what": what})

    assert answer.status_code == 200
    assert json.loads(answer.data)["result"] == result


@pytest.mark.parametrize("what", ["nan", "inf", "huge", "object", "keys", "circle"])
def test_a_result_without_a_form_in_json_is_a_problem(client: FlaskClient, what: str) -> None:
    answer = client.post("/v1/tasks/example.make", json={"what": what})

    assert answer.status_code == 500
    assert answer.get_json()["type"] == "/problems/result-not-serializable"


def test_deep_values_travel_or_are_a_problem(client: FlaskClient) -> None:
    deep = b'{"value": ' + b"[" * 150 + b"]" * 150 + b"}"

    assert client.post("/v1/tasks/example.echo", data=deep).status_code == 200


def test_a_request_has_the_services_time_unless_it_says_otherwise(
    client: FlaskClient, engine: FakeEngine
) -> None:
    begun = time.monotonic()
    client.post(URL, json={"n": 1})
    assert engine.deadline - begun == pytest.approx(30, abs=1)

    client.post(URL, json={"n": 1}, headers={"Request-Timeout": "2.5"})
    assert engine.deadline - begun == pytest.approx(2.5, abs=1)

    client.post(URL, json={"n": 1}, headers={"Request-Timeout": "300"})
    assert engine.deadline - begun == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    "seconds", ["0", "-1", "300.1", "nan", "inf", "1e3", "soon", "", "1, 2", "٣", "1_0", "9" * 400]
)
def test_a_request_timeout_out_of_bounds_is_refused(client: FlaskClient, seconds: str) -> None:
    headers = {"Request-Timeout": seconds.encode().decode("latin-1")}

    answer = client.post(URL, json={"n": 1}, headers=headers)

    assert answer.status_code == 400
    assert answer.get_json()["type"] == "/problems/invalid-header"
    assert "at most 300" in answer.get_json()["detail"]


def test_a_call_out_of_time_is_a_problem(client: FlaskClient) -> None:
    answer = client.post("/v1/tasks/process_data", json={"item": 1}, headers={"Request-Timeout": "0.1"})

    assert answer.status_code == 504
    assert answer.get_json()["type"] == "/problems/deadline-exceeded"
