"""Every error as a problem document."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from service import errors
from service.api import problems
from service.api.problems import TABLE
from service.engine.fake import FakeEngine

URL = "/v1/tasks/sum_of_squares"


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.TaskFailed("KeyError", "'secret'", "Traceback: secret"), 500, "task-failed"),
        (errors.TaskFailed("InvalidInput", "too blue"), 422, "invalid-input"),
        (errors.TaskCrashed(7, -11), 500, "task-crashed"),
        (errors.DeadlineExceeded(30, started=True), 504, "deadline-exceeded"),
        (errors.DeadlineExceeded(30, started=False), 504, "deadline-exceeded"),
        (errors.MemoryLimitExceeded(1000), 507, "memory-limit-exceeded"),
        (errors.NotSerializable("result", "TypeError: secret"), 500, "result-not-serializable"),
        (errors.Cancelled(), 409, "cancelled"),
        (errors.Abandoned(), 499, "client-gone"),
        (errors.Saturated("too many calls wait", 2.1), 503, "saturated"),
        (errors.Stopping(), 503, "stopping"),
        (errors.EngineUnavailable("the cluster is away"), 503, "unavailable"),
    ],
)
def test_each_way_to_end_has_its_status_and_type(
    make_client: Callable[..., FlaskClient], error: Any, status: int, slug: str
) -> None:
    client = make_client(FakeEngine({"sum_of_squares": error}))

    answer = client.post(URL, json={"n": 1})

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    detail = error.message if slug == "invalid-input" else str(error)
    hidden = "secret" in str(error)
    assert answer.get_json() == {
        "type": f"/problems/{slug}",
        "title": answer.get_json()["title"],
        "status": status,
        "detail": answer.get_json()["detail"] if hidden else detail,
        "instance": URL,
    }
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("cause", "status", "slug", "logged"),
    [
        (errors.TaskFailed("KeyError", "'secret'", "Traceback: x"), 500, "task-failed", "task failed"),
        (errors.TaskCrashed(7, -11), 500, "task-crashed", "call ended without a result"),
        (errors.DeadlineExceeded(0.3, started=True), 504, "deadline-exceeded", "call ended without a result"),
        (errors.TaskFailed("InvalidInput", "too blue"), 422, "invalid-input", None),
    ],
)
def test_what_a_stage_of_a_pipeline_ends_with_says_where(
    make_client: Callable[..., FlaskClient],
    capsys: pytest.CaptureFixture[str],
    cause: Any,
    status: int,
    slug: str,
    logged: str | None,
) -> None:
    client = make_client(FakeEngine({"sum_of_squares": errors.StageFailed("parse", 3, cause)}))

    answer = client.post(URL, json={"n": 1})

    assert (answer.status_code, answer.get_json()["type"]) == (status, f"/problems/{slug}")
    assert (answer.get_json()["stage"], answer.get_json()["item"]) == ("parse", 3)
    assert answer.get_json()["detail"].startswith("stage 'parse', item 3: ")
    assert "secret" not in answer.text
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [entry for entry in entries if entry["event"] == logged]
    assert [(entry["stage"], entry["item"], entry["error"]) for entry in found] == [
        ("parse", 3, str(cause)) for _ in range(logged is not None)
    ]
    assert [entry.get("traceback") for entry in found if logged == "task failed"] in ([], ["Traceback: x"])


def test_a_pipeline_is_no_task_and_the_answer_says_where_it_is(client: FlaskClient) -> None:
    answer = client.post("/v1/tasks/log_statistics", json={})

    assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/task-not-found")
    detail = "there is no task 'log_statistics'; it is a pipeline: /v1/pipelines/log_statistics"
    assert answer.get_json()["detail"] == detail


@pytest.mark.parametrize(("wait", "seconds"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (2.1, "3")])
def test_a_full_service_says_when_to_come_again(
    make_client: Callable[..., FlaskClient], wait: float, seconds: str
) -> None:
    client = make_client(FakeEngine({"sum_of_squares": errors.Saturated("full", wait)}))

    assert client.post(URL, json={"n": 1}).headers["Retry-After"] == seconds


def test_text_and_traceback_of_a_tasks_error_go_to_the_log_only(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = client.post("/v1/tasks/example.fail", json={})

    assert "RuntimeError" in answer.get_json()["detail"]
    assert "secret" not in answer.text
    assert 'raise RuntimeError(\\"secret plan failed\\")' in capsys.readouterr().out


def test_an_input_that_a_task_refuses_is_no_matter_for_the_log(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.post("/v1/tasks/example.refuse", json={}).get_json()["detail"] == "the moon is not full"
    assert "task failed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/tasks/",
        "/v1//tasks",
        "/healthz/",
        "/%00",
        "/../etc/passwd",
    ],
)
def test_an_unknown_path_is_a_problem(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.get_json()["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", URL, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", URL, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/v1/tasks", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/concurrent_cpu_tasks/", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", URL, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("BREW", URL, {"GET", "HEAD", "OPTIONS", "POST"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code == 405
    assert answer.get_json()["type"] == "/problems/method-not-allowed"
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_method_cannot_be_smuggled_in_a_header(client: FlaskClient) -> None:
    answer = client.get(URL, headers={"X-HTTP-Method-Override": "DELETE"})

    assert answer.status_code == 200


def test_an_error_of_our_own_is_logged_and_says_nothing(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a view that breaks
    def broken() -> str:
        raise LookupError("secret")

    client.application.add_url_rule("/broken", view_func=broken)

    # When it is called
    answer = client.get("/broken")

    # Then the client learns that, and the log learns why
    assert answer.status_code == 500
    assert answer.get_json()["type"] == "/problems/internal-error"
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"]
    assert "LookupError: secret" in capsys.readouterr().out


def test_other_http_errors_become_problems_too() -> None:
    app = Flask("teapot")
    problems.install(app)
    app.add_url_rule("/tea", view_func=lambda: abort(418))

    answer = app.test_client().get("/tea")

    assert answer.status_code == 418
    assert answer.get_json()["type"] == "/problems/i-m-a-teapot"
    assert answer.content_type == "application/problem+json"


def test_every_error_of_the_tree_has_a_status_of_its_own() -> None:
    def leaves(cls: type[Exception]) -> list[type[Exception]]:
        below = [leaf for sub in cls.__subclasses__() for leaf in leaves(sub)]
        return [leaf for leaf in below or [cls] if leaf.__module__ == errors.__name__]

    ours = [leaf for root in (errors.CallError, errors.EngineUnavailable) for leaf in leaves(root)]

    # But for one that has the status of whatever is below it
    assert set(ours) - {errors.StageFailed} <= set(TABLE)


@pytest.mark.parametrize(
    ("cause", "status", "slug"),
    [
        (errors.TaskFailed("KeyError", "'secret'"), 500, "task-failed"),
        (errors.TaskFailed("InvalidInput", "too blue"), 422, "invalid-input"),
        (errors.TaskCrashed(7, -11), 500, "task-crashed"),
        (errors.DeadlineExceeded(1, started=True), 504, "deadline-exceeded"),
        (errors.MemoryLimitExceeded(1000), 507, "memory-limit-exceeded"),
        (errors.NotSerializable("result", "TypeError: secret"), 500, "result-not-serializable"),
    ],
)
def test_a_stage_that_failed_has_the_status_of_its_cause_and_says_where(
    cause: errors.EverycoreError, status: int, slug: str
) -> None:
    document = problems.describe(errors.StageFailed("shrink", 7, cause)).document()

    assert (document["type"], document["status"]) == (f"/problems/{slug}", status)
    assert (document["stage"], document["item"]) == ("shrink", 7)
    assert "secret" not in str(document)


def test_a_slug_means_one_status() -> None:
    statuses: dict[str, int] = {}

    for kind in TABLE.values():
        assert statuses.setdefault(kind.slug, kind.status) == kind.status
