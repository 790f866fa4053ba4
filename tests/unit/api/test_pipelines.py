"""Pipelines over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.api.pipeline_forms import MAX_SKIPPED, Listed
from service.api.pipeline_streams import NOTED, NUMBERED
from service.api.streaming import BrokenOff
from service.engine.fake import FakeEngine
from service.engine.local import LocalEngine
from service.errors import TaskCrashed
from service.jobs.database import Database
from service.jobs.model import Payload, State
from service.jobs.store import Store
from tests.unit.api.job_runs import HandRunner, meanwhile, wait_until
from tests.unit.api.pipeline_tasks import BROKEN, DEADLY, NAN, SECRET, SLOW, UNFIT

MODULE = "tests.unit.api.pipeline_tasks"
NUMBERS, TOTAL, SHOUT = (f"/v1/pipelines/unit.{name}" for name in ("numbers", "total", "shout"))
UNSENDABLE = "/problems/result-not-serializable"
NDJSON, EVENTS, JSON = "application/x-ndjson", "text/event-stream", "application/json"


@pytest.fixture(scope="module")
def local_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    engine = LocalEngine(
        modules=[MODULE],
        processes=8,
        cpu_slots=2,
        runtime_dir=tmp_path_factory.mktemp("engine"),
    )
    yield engine
    engine.close()


@pytest.fixture
def client(make_client: Callable[..., FlaskClient], local_engine: LocalEngine) -> FlaskClient:
    """A client of an application whose pipelines run in real processes."""
    return make_client(local_engine, task_modules=(MODULE,))


@pytest.fixture
def still(make_client: Callable[..., FlaskClient], engine: FakeEngine) -> FlaskClient:
    """A client of an application that can run no pipeline, for what is said without running any."""
    return make_client(engine, task_modules=(MODULE,))


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def events(answer: Any) -> list[dict[str, Any]]:
    blocks = [block.split("\n") for block in answer.text.split("\n\n") if block]
    return [{kind.removeprefix("event: "): json.loads(data.removeprefix("data: "))} for kind, data in blocks]


def entries(out: str, event: str) -> list[dict[str, Any]]:
    """Return the lines of the log with that text."""
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


class TestDescription:
    def test_there_is_a_list_of_pipelines(self, still: FlaskClient) -> None:
        listed = still.get("/v1/pipelines").get_json()["pipelines"]

        names = [pipeline["name"] for pipeline in listed]
        assert names == sorted(names)
        assert {"unit.numbers", "unit.total", "process_queue_communication"} <= set(names)
        assert still.get("/").get_json()["links"]["pipelines"] == "/v1/pipelines"

    def test_a_pipeline_tells_what_it_takes_and_is_made_of(self, still: FlaskClient) -> None:
        described = still.get(NUMBERS).get_json()

        assert described.pop("arguments")["properties"]["items"]["type"] == "array"
        assert described == {
            "name": "unit.numbers",
            "href": NUMBERS,
            "description": "Numbers.",
            "timeout": None,
            "buffer": 4,
            "accepts": [JSON],
            "result": {},
            "media_type": None,
            "stages": [
                {
                    "name": "numbers",
                    "kind": "produce",
                    "processes": 1,
                    "ordered": True,
                    "cpu": 1,
                    "timeout": None,
                },
                {"name": "work", "kind": "each", "processes": 1, "ordered": True, "cpu": 1, "timeout": 1.0},
            ],
        }

    def test_its_result_is_that_of_its_last_stage(self, still: FlaskClient) -> None:
        described = still.get(TOTAL).get_json()

        assert described["result"] == {"type": "integer"}
        assert (described["timeout"], described["stages"][2]["kind"]) == (20, "whole")

    def test_bytes_have_a_media_type(self, still: FlaskClient) -> None:
        described = still.get(SHOUT).get_json()

        assert described["media_type"] == "text/plain; charset=utf-8"
        assert described["result"]["contentMediaType"] == described["media_type"]
        assert {"multipart/form-data", "application/zip", "application/gzip", "text/*"} <= set(
            described["accepts"]
        )

    def test_a_pipeline_is_no_task(self, still: FlaskClient, engine: FakeEngine) -> None:
        tasks = {task["name"] for task in still.get("/v1/tasks").get_json()["tasks"]}
        assert "unit.numbers" not in tasks

        url = "/v1/tasks/unit.numbers"
        for answer in (
            still.get(url),
            still.post(url, json={}),
            still.post(f"{url}/map", json={"items": []}),
        ):
            assert (answer.status_code, answer.get_json()["type"]) == (404, "/problems/task-not-found")
        calls = {"calls": [{"task": "unit.numbers", "args": {"items": []}}]}
        (entry,) = still.post("/v1/batch", json=calls).get_json()["results"]
        assert entry["error"]["type"] == "/problems/task-not-found"
        assert engine.calls == []

    def test_a_task_is_no_pipeline(self, still: FlaskClient) -> None:
        for name in ("sum_of_squares", "nothing", "..", "%00"):
            url = f"/v1/pipelines/{name}"
            for answer in (still.get(url), still.post(url, json={})):
                assert answer.status_code == 404
                assert answer.get_json()["type"] in ("/problems/pipeline-not-found", "/problems/not-found")

    def test_whoever_takes_one_for_the_other_is_told_where_it_is(self, still: FlaskClient) -> None:
        calls = {"calls": [{"task": "unit.numbers"}, {"task": "nothing"}]}
        pipeline, nothing = still.post("/v1/batch", json=calls).get_json()["results"]
        assert pipeline["error"]["detail"].endswith(f"no task 'unit.numbers'; it is a pipeline: {NUMBERS}")
        assert nothing["error"]["detail"] == "there is no task 'nothing'"

        task, nothing = (still.get(f"/v1/pipelines/{name}") for name in ("sum_of_squares", "nothing"))
        said = "there is no pipeline 'sum_of_squares'; it is a task: /v1/tasks/sum_of_squares"
        assert task.get_json()["detail"] == said
        assert nothing.get_json()["detail"] == "there is no pipeline 'nothing'"


class TestForms:
    @pytest.mark.parametrize("accept", [None, "*/*", NDJSON, "image/png", f"{NDJSON}, {JSON};q=0.5"])
    def test_results_are_lines_and_the_last_says_how_it_ended(
        self, client: FlaskClient, accept: str | None
    ) -> None:
        answer = client.post(NUMBERS, json={"items": [3, 1, 2]}, headers={"Accept": accept} if accept else {})

        assert (answer.status_code, answer.content_type) == (200, NDJSON)
        *items, last = lines(answer)
        assert items == [{"item": 3}, {"item": 1}, {"item": 2}]
        summary = last["summary"]
        assert (summary["items"], summary["skipped"]) == (3, 0)
        assert summary["wall"] > 0
        assert summary["cpu"] > 0
        produce, work = summary["stages"]
        assert (produce["name"], produce["items_out"]) == ("numbers", 3)
        assert (work["name"], work["processes"], work["items_in"], work["items_out"]) == ("work", 1, 3, 3)
        assert work.keys() == {
            *("name", "processes", "items_in", "items_out", "skipped", "busy", "cpu", "waiting")
        }
        assert work["waiting"].keys() == {"input", "output", "slot", "turn"}

    def test_results_are_events_if_asked_for_so(self, client: FlaskClient) -> None:
        answer = client.post(NUMBERS, json={"items": [1, 2]}, headers={"Accept": EVENTS})

        assert answer.content_type.partition(";")[0] == EVENTS
        *items, last = events(answer)
        assert items == [{"item": 1}, {"item": 2}]
        assert last["summary"]["items"] == 2

    @pytest.mark.parametrize("items", [[], [1], [3, 1, 2]])
    def test_results_are_one_object_if_json_is_asked_for(self, client: FlaskClient, items: list[int]) -> None:
        answer = client.post(NUMBERS, json={"items": items}, headers={"Accept": JSON})

        assert answer.content_type == JSON
        document = answer.get_json()
        assert (document["pipeline"], document["results"], document["skipped"]) == ("unit.numbers", items, [])
        assert document["summary"]["items"] == len(items)
        assert document.keys() == {"pipeline", "results", "skipped", "summary"}

    def test_no_results_are_a_summary_alone(self, client: FlaskClient) -> None:
        (last,) = lines(client.post(NUMBERS, json={"items": []}))

        assert last["summary"]["items"] == 0

    def test_a_stage_that_takes_all_gives_one(self, client: FlaskClient) -> None:
        item, _ = lines(client.post(TOTAL, json={"items": list(range(1, 11))}))

        assert item == {"item": 55}

    @pytest.mark.parametrize("accept", ["*/*", JSON, NDJSON])
    def test_bytes_are_sent_as_they_are(self, client: FlaskClient, accept: str) -> None:
        answer = client.post(SHOUT, data=b"a b c", content_type="text/plain", headers={"Accept": accept})

        assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
        assert answer.data == b"ABC"

    def test_nothing_is_a_body_without_bytes(self, client: FlaskClient) -> None:
        answer = client.post(SHOUT, data=b"", content_type="text/plain")

        assert (answer.status_code, answer.data) == (200, b"")

    @pytest.mark.parametrize(("accept", "ends"), [(NDJSON, b"\n"), (EVENTS, b"\n\n"), (JSON, b"[1")])
    def test_a_result_is_sent_when_it_is_there(
        self, client: FlaskClient, tmp_path: Path, accept: str, ends: bytes
    ) -> None:
        # Given a producer that waits behind its first item
        body = {"items": [1, 2], "mark": str(tmp_path / "go")}
        answer = client.post(NUMBERS, json=body, headers={"Accept": accept})
        pieces = answer.iter_encoded()
        # Then that item comes
        assert next(pieces).endswith(ends)
        # And the rest when there is more
        (tmp_path / "go").touch()
        rest = b"".join(pieces)
        assert b"2" in rest
        assert b"summary" in rest

    def test_durations_are_told_in_the_header_and_in_the_log(
        self, client: FlaskClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = client.post(NUMBERS, json={"items": [1]})
        answer.close()

        assert "queue;dur=" in answer.headers["Server-Timing"]
        assert "run;dur=" in answer.headers["Server-Timing"]
        (line,) = entries(capsys.readouterr().out, "request")
        assert (line["task"], line["status"]) == ("unit.numbers", 200)
        assert 0 < line["run"] <= line["total"]


class TestBody:
    def test_arguments_are_checked_as_for_any_task(self, still: FlaskClient) -> None:
        assert still.post(NUMBERS, json={"items": ["1"]}).status_code == 422
        assert still.post(NUMBERS, data=b"{").status_code == 400
        assert still.post(NUMBERS, data=b"x" * 200_000).status_code == 413
        said = still.post(NUMBERS, json={"n": 1}).get_json()["errors"]
        assert [error["loc"] for error in said] == [["items"], ["n"]]

    @pytest.mark.parametrize(
        "media_type", ["text/plain", "application/zip", "application/x-www-form-urlencoded"]
    )
    def test_a_media_type_that_it_does_not_take_is_refused(self, still: FlaskClient, media_type: str) -> None:
        answer = still.post(NUMBERS, data=b"{}", content_type=media_type)

        assert answer.status_code == 415
        assert JSON in answer.get_json()["detail"]

    @pytest.mark.parametrize(
        "media_type",
        [
            *("text/plain", "text/csv; charset=utf-8", "application/gzip", "application/x-gzip"),
            *("application/zip", "application/octet-stream", "image/png"),
        ],
    )
    def test_an_upload_takes_its_other_arguments_from_the_query(
        self, client: FlaskClient, media_type: str
    ) -> None:
        answer = client.post(f"{SHOUT}?times=2&on_error=skip", data=b"ab", content_type=media_type)

        assert answer.data == b"ABAB"

    def test_a_form_and_an_object_may_have_bytes_too(self, client: FlaskClient) -> None:
        form = {"data": (io.BytesIO(b"ab"), "a.txt"), "times": "2"}
        assert client.post(f"{SHOUT}?on_error=stop", data=form).data == b"ABAB"

        document = {"data": base64.b64encode(b"ab").decode()}
        assert client.post(f"{SHOUT}?on_error=stop", json=document).data == b"AB"

    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ("on_error=", "on_error"),
            ("on_error=collect", "on_error"),
            ("on_error=STOP", "on_error"),
            ("on_error=stop&on_error=stop", "on_error"),
            ("on_error=%ff", "on_error"),
            ("items=1", "items"),
            ("on_error=skip&items=1", "items"),
        ],
    )
    def test_a_query_that_it_does_not_take_is_refused(
        self, still: FlaskClient, query: str, wrong: str
    ) -> None:
        answer = still.post(f"{NUMBERS}?{query}", json={"items": []})

        assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/validation")
        assert [error["loc"] for error in answer.get_json()["errors"]] == [[wrong]]

    def test_what_to_do_with_errors_stands_in_the_query_alone(self, still: FlaskClient) -> None:
        form = {"data": (io.BytesIO(b"ab"), "a.txt"), "on_error": "skip"}
        for answer in (
            still.post(NUMBERS, json={"items": [], "on_error": "skip"}),
            still.post(SHOUT, data=form),
        ):
            document = answer.get_json()
            assert (answer.status_code, document["type"]) == (422, "/problems/validation")
            hint = {"loc": ["on_error"], "msg": "it belongs into the query: ?on_error=skip"}
            assert document["errors"] == [hint]

    def test_a_timeout_that_is_none_is_refused(self, still: FlaskClient) -> None:
        answer = still.post(NUMBERS, json={"items": []}, headers={"Request-Timeout": "-1"})

        assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/invalid-header")


class TestErrors:
    @pytest.mark.parametrize(
        ("item", "status", "slug", "stage", "number"),
        [
            (SECRET, 500, "task-failed", "work", 0),
            (UNFIT, 422, "invalid-input", "work", 0),
            (DEADLY, 500, "task-crashed", "work", 0),
            (SLOW, 504, "deadline-exceeded", "work", 0),
            (BROKEN, 500, "task-failed", "numbers", None),
        ],
    )
    @pytest.mark.parametrize("accept", [NDJSON, JSON])
    def test_one_before_the_first_result_has_its_own_status(
        self,
        client: FlaskClient,
        accept: str,
        item: int,
        status: int,
        slug: str,
        stage: str,
        number: int | None,
    ) -> None:
        answer = client.post(NUMBERS, json={"items": [item]}, headers={"Accept": accept})

        assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
        problem = answer.get_json()
        assert (problem["type"], problem["stage"]) == (f"/problems/{slug}", stage)
        assert number is None or problem["item"] == number
        assert "secret" not in answer.text

    @pytest.mark.parametrize("accept", [NDJSON, EVENTS, JSON])
    def test_one_behind_a_result_ends_the_answer(
        self, client: FlaskClient, accept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Given a result that has been sent
        body = {"items": [1, SECRET], "mark": str(tmp_path / "go")}
        answer = client.post(NUMBERS, json=body, headers={"Accept": accept})
        assert answer.status_code == 200
        # When the next item fails
        (tmp_path / "go").touch()
        # Then the end of the answer tells so
        if accept == JSON:
            document = answer.get_json()
            assert document.keys() == {"pipeline", "results", "skipped", "error"}
            assert document["results"] == [1]
            problem = document["error"]
        else:
            *items, last = events(answer) if accept == EVENTS else lines(answer)
            assert items == [{"item": 1}]
            problem = last["error"]
        assert (problem["type"], problem["stage"], problem["item"]) == ("/problems/task-failed", "work", 1)
        assert "secret" not in answer.text
        # And the log has it, with what clients must not see
        answer.close()
        out = capsys.readouterr().out
        (failed,) = entries(out, "task failed")
        assert "secret plan failed" in failed["traceback"]
        assert entries(out, "request")[-1]["problem"] == "task-failed"

    def test_a_result_without_a_form_in_json_ends_the_answer(
        self, client: FlaskClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        body = {"items": [1, NAN, 2], "mark": str(tmp_path / "go")}
        answer = client.post(NUMBERS, json=body)
        (tmp_path / "go").touch()
        *_, last = lines(answer)
        problem = last["error"]
        assert (problem["type"], problem["stage"], problem["item"]) == (UNSENDABLE, "work", 1)
        assert problem["detail"].startswith(
            "stage 'work', item 1: the result has no form in JSON (ValueError)"
        )
        (entry,) = entries(capsys.readouterr().out, "result has no form in JSON")
        assert (entry["stage"], entry["item"]) == ("work", 1)

        answer = client.post(NUMBERS, json={"items": [NAN]})
        assert (answer.status_code, answer.get_json()["type"]) == (500, UNSENDABLE)
        assert (answer.get_json()["stage"], answer.get_json()["item"]) == ("work", 0)

    @pytest.mark.parametrize(
        ("end", "problem", "event", "error"),
        [
            (b"!", "task-failed", "task failed", "RuntimeError: secret plan failed"),
            (
                b"?",
                "task-failed",
                "task failed",
                "TypeError: it gave str, and the pipeline promises text/plain",
            ),
            (b"#", "invalid-input", "input can't be used", "InvalidInput: no letter"),
        ],
    )
    def test_bytes_break_off_and_the_log_says_why(
        self,
        client: FlaskClient,
        end: bytes,
        problem: str,
        event: str,
        error: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        url = f"{SHOUT}?mark={tmp_path}/go"
        answer = client.post(url, data=b"a" + end, content_type="text/plain")
        assert answer.status_code == 200
        pieces = answer.iter_encoded()
        assert next(pieces) == b"A"
        (tmp_path / "go").touch()

        with pytest.raises(BrokenOff):
            b"".join(pieces)
        answer.close()
        out = capsys.readouterr().out
        assert entries(out, "request")[-1]["problem"] == problem
        (entry,) = entries(out, event)
        assert (entry["level"], entry["stage"], entry["item"]) == ("warning", "shout", 1)
        assert entry["error"].startswith(error)

    def test_bytes_that_have_not_begun_have_a_problem_instead(self, client: FlaskClient) -> None:
        answer = client.post(SHOUT, data=b"!", content_type="text/plain")

        assert (answer.status_code, answer.content_type) == (500, "application/problem+json")

    def test_bytes_that_are_none_are_told_with_their_stage(self, client: FlaskClient) -> None:
        answer = client.post(SHOUT, data=b"?", content_type="text/plain")

        document = answer.get_json()
        assert (answer.status_code, document["type"]) == (500, "/problems/task-failed")
        assert (document["stage"], document["item"]) == ("shout", 0)

    def test_the_deadline_of_the_request_holds(self, client: FlaskClient, tmp_path: Path) -> None:
        body = {"items": [1, 2], "mark": str(tmp_path / "never")}
        *_, last = lines(client.post(NUMBERS, json=body, headers={"Request-Timeout": "1"}))

        assert last["error"]["type"] == "/problems/deadline-exceeded"

    def test_a_deadline_that_has_passed_already_is_none_below_zero(self, client: FlaskClient) -> None:
        answer = client.post(NUMBERS, json={"items": [1]}, headers={"Request-Timeout": "0.000001"})

        document = answer.get_json()
        assert (answer.status_code, document["type"]) == (504, "/problems/deadline-exceeded")
        assert "-" not in document["detail"]


class TestSkip:
    @pytest.mark.parametrize("accept", [NDJSON, EVENTS, JSON])
    def test_an_item_is_left_out_and_told_of(self, client: FlaskClient, accept: str) -> None:
        items = [1, SECRET, 2, DEADLY, 3]
        answer = client.post(f"{NUMBERS}?on_error=skip", json={"items": items}, headers={"Accept": accept})

        assert answer.status_code == 200
        if accept == JSON:
            document = answer.get_json()
            results, skipped, summary = document["results"], document["skipped"], document["summary"]
        else:
            *told, last = events(answer) if accept == EVENTS else lines(answer)
            results = [entry["item"] for entry in told if "item" in entry]
            skipped = [entry["skipped"] for entry in told if "skipped" in entry]
            summary = last["summary"]
        assert results == [1, 2, 3]
        found = [(problem["type"], problem["stage"], problem["item"]) for problem in skipped]
        assert sorted(found, key=lambda problem: problem[2]) == [
            ("/problems/task-failed", "work", 1),
            ("/problems/task-crashed", "work", 3),
        ]
        assert (summary["items"], summary["skipped"]) == (3, 2)

    def test_bytes_go_on_without_it(self, client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
        answer = client.post(f"{SHOUT}?on_error=skip", data=b"!a#b", content_type="text/plain")

        assert answer.data == b"AB"
        # And the log alone tells why
        out = capsys.readouterr().out
        (failed,), (unfit,) = entries(out, "task failed"), entries(out, "input can't be used")
        assert (failed["stage"], failed["item"]) == ("shout", 0)
        assert (unfit["stage"], unfit["item"]) == ("shout", 2)
        assert unfit["error"] == "InvalidInput: no letter"

    def test_a_producer_that_fails_ends_the_run_all_the_same(
        self, client: FlaskClient, tmp_path: Path
    ) -> None:
        body = {"items": [1, BROKEN], "mark": str(tmp_path / "go")}
        answer = client.post(f"{NUMBERS}?on_error=skip", json=body)
        (tmp_path / "go").touch()
        *_, last = lines(answer)

        assert (last["error"]["type"], last["error"]["stage"]) == ("/problems/task-failed", "numbers")

    def test_the_log_is_not_flooded(self, client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
        items = [SECRET] * (NUMBERED + 50)
        answer = client.post(f"{NUMBERS}?on_error=skip", json={"items": items}, headers={"Accept": JSON})
        document = answer.get_json()
        answer.close()

        assert document["summary"]["skipped"] == len(items)
        assert len(document["skipped"]) == MAX_SKIPPED
        out = capsys.readouterr().out
        assert len(entries(out, "task failed")) == NOTED
        assert entries(out, "input can't be used") == []
        (told,) = entries(out, "items were left out")
        assert (told["task"], told["skipped"]) == ("unit.numbers", len(items))
        assert sorted(told["items"]) == list(range(NUMBERED))


class TestJob:
    @pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
    def test_a_run_becomes_a_job(self, still: FlaskClient, store: Store, prefer: str) -> None:
        headers = {"Prefer": prefer, "Idempotency-Key": "once"}
        answers = [still.post(NUMBERS, json={"items": [1]}, headers=headers) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].headers["Preference-Applied"] == prefer
        assert answers[0].headers["Location"] == answers[1].headers["Location"]
        assert answers[0].get_json()["task"] == "unit.numbers"
        assert store.counts() == {"queued": 1}

    @pytest.mark.parametrize("skipped", [0, 3])
    def test_whoever_waits_is_told_how_many_were_left_out(
        self, still: FlaskClient, store: Store, database: Database, skipped: int
    ) -> None:
        runner = HandRunner(database)
        url, stages = f"{NUMBERS}?on_error=skip", [{"skipped": 0}, {"skipped": skipped}]
        with meanwhile(
            lambda: still.post(url, json={"items": [1]}, headers={"Prefer": "wait=30"})
        ) as waiting:
            wait_until(store.counts)
            (claim,) = runner.claim()
            runner.settle(claim, State.SUCCEEDED, Payload(JSON, b"[1]"), progress={"stages": stages})
            document = waiting.result(10).get_json()

        assert document.keys() == {"task", "timing", "skipped", "result"}
        assert (document["skipped"], document["result"]) == (skipped, [1])

    def test_it_can_be_submitted(self, still: FlaskClient) -> None:
        answer = still.post("/v1/jobs", json={"task": "unit.numbers", "args": {"items": [1]}})

        assert answer.status_code == 202

    @pytest.mark.parametrize("on_error", ["stop", "skip"])
    def test_it_knows_what_to_do_with_an_item_that_fails(
        self, still: FlaskClient, store: Store, on_error: str
    ) -> None:
        """It is the same job, whichever way it comes."""
        body, key = {"items": [1]}, {"Idempotency-Key": "once"}
        first = still.post(
            f"{NUMBERS}?on_error={on_error}", json=body, headers=key | {"Prefer": "respond-async"}
        )
        submission = {"task": "unit.numbers", "args": body, "on_error": on_error}
        second = still.post("/v1/jobs", json=submission, headers=key)

        assert (first.status_code, second.status_code) == (202, 200)
        assert first.get_json() == second.get_json()
        assert first.get_json()["on_error"] == on_error
        assert store.get(first.get_json()["id"]).skip == (on_error == "skip")

    @pytest.mark.parametrize(
        "submission",
        [
            {"task": "unit.numbers", "args": {"items": []}, "on_error": "ignore"},
            {"task": "unit.numbers", "args": {"items": []}, "on_error": None},
            {"task": "sum_of_squares", "args": {"n": 1}, "on_error": "skip"},
        ],
    )
    def test_nothing_else_can_be_done(
        self, still: FlaskClient, store: Store, submission: dict[str, Any]
    ) -> None:
        alone = still.post("/v1/jobs", json=submission)
        in_a_batch = still.post("/v1/jobs/batch", json={"jobs": [submission]})

        assert (alone.status_code, in_a_batch.status_code) == (422, 422)
        assert [error["loc"] for error in alone.get_json()["errors"]] == [["on_error"]]
        assert [error["loc"] for error in in_a_batch.get_json()["errors"]] == [["jobs", 0, "on_error"]]
        assert store.counts() == {}


class TestListed:
    """An object that is written piece by piece."""

    def test_it_is_one_whatever_is_left_out_before_the_first_result(self) -> None:
        form = Listed('a "name"')
        problem = {"status": 500, "detail": "a\nb"}
        pieces = [form.skipped(problem), form.item([1]), form.skipped(problem), form.item(None)]

        document = json.loads(b"".join([*pieces, form.summary({"items": 2})]))
        assert document == {
            "pipeline": 'a "name"',
            "results": [[1], None],
            "skipped": [problem, problem],
            "summary": {"items": 2},
        }

    def test_a_result_that_can_not_be_written_leaves_it_whole(self) -> None:
        form = Listed("name")
        begun = form.item(1)
        with pytest.raises(ValueError, match="JSON"):
            form.item(float("nan"))
        end = form.error(TaskCrashed(7, -9), {"status": 500})

        assert json.loads(begun + end) == {
            "pipeline": "name",
            "results": [1],
            "skipped": [],
            "error": {"status": 500},
        }
