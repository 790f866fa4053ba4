"""``python -m service jobs show``."""

import json
import re
from collections.abc import Callable

import pytest

from service.jobs.claims import Line, Step
from service.jobs.model import Payload, State
from tests.unit.cli.working import NOBODY, PROBLEM, cells, claim, end, submit


class TestShow:
    @pytest.fixture
    def shown(self, run) -> Callable[..., dict[str, str]]:
        def shown(*command: str) -> dict[str, str]:
            result = run("jobs", "show", *command)
            assert result.exit_code == 0, result.stderr
            return {row[0]: "  ".join(row[1:]) for row in cells(result.stdout)}

        return shown

    def test_a_job_that_failed(self, shown, store, runner):
        job = submit(store, args=b'{"n": "' + b"x" * 1000 + b'"}', max_attempts=3, owner="alice")
        end(
            runner,
            claim(runner),
            State.FAILED,
            failed=1,
            error=PROBLEM | {"errors": [{"loc": ["n"], "msg": "no"}]},
            progress={"done": 1, "total": None, "note": ""},
            run_seconds=90.0,
            cpu_seconds=0.25,
        )

        found = shown(job)

        assert found["id"] == job
        assert found["state"] == "failed (1m30s)"
        assert found["attempts"] == "1; 1 of 3 failed, 0 crashed; the last ran 1m30s and took 0.25s of CPU"
        assert found["error"] == 'task-failed: it raised [{"loc": ["n"], "msg": "no"}]'
        assert found["progress"] == "1"
        assert found["arguments"] == '{"n": "' + "x" * 492 + "…"
        assert (found["owner"], found["result"], found["batch"]) == ("alice", "-", "-")
        assert found["finished"] >= found["started"] >= found["created"] > "2026"

    def test_the_stages_of_a_pipeline(self, run, store, runner):
        job = submit(store)
        stages = [
            {"name": "read", "items_in": 0, "items_out": 12, "skipped": 0},
            {"name": "parse\x07", "items_in": 9, "items_out": 7, "skipped": 2},
        ]
        runner.step(
            Step(progress={job: (claim(runner).attempts, {"done": 7, "total": None, "stages": stages})})
        )

        rows = cells(run("jobs", "show", job).stdout)

        told = ["read: 0 in, 12 out, 0 skipped", "parse\\x07: 9 in, 7 out, 2 skipped"]
        assert [" ".join(row[1:]) for row in rows if row[0] == "stage"] == told

    def test_a_job_that_is_to_be_cancelled(self, shown, store, runner):
        job = submit(store)
        claim(runner)
        store.cancel(job)

        assert re.fullmatch(r"running, to be cancelled \(runs 0\.\d\ds\)", shown(job)["state"])

    @pytest.mark.parametrize(
        ("media_type", "content", "text"),
        [("application/json", b"[1.50]", "[1.50]"), ("image/png", b"\x89PNG", "4 bytes of image/png")],
    )
    def test_a_result(self, shown, store, runner, media_type, content, text):
        job = submit(store)
        end(runner, claim(runner), State.SUCCEEDED, result=Payload(media_type, content))

        assert shown(job)["result"] == text

    def test_messages_to_its_webhook(self, shown, store, runner):
        job = submit(store, webhook="https://example.org/hook")
        end(runner, claim(runner), State.SUCCEEDED, result=Payload("application/json", b"1"))

        found = shown(job)

        assert found["webhook"] == "https://example.org/hook"
        assert found["delivery"] == "job.succeeded pending after 0 attempts"

    def test_its_log_to_the_last_line(self, run, store, runner):
        job = submit(store)
        claim(runner)
        lines = [Line(job, 1, number, 1e9, "stdout", f"line {number}\x07") for number in range(1, 2501)]
        runner.step(Step(lines=lines))

        _, _, log = run("jobs", "show", job, "--log").stdout.partition("\n\n")

        assert len(log.splitlines()) == 2500
        assert log.splitlines()[0] == r"2001-09-09T01:46:40.000000Z  1  stdout  line 1\x07"
        assert "line 1" not in run("jobs", "show", job).stdout

    def test_all_of_it_as_json(self, run, store, runner):
        job = submit(store, args=b'{\n"n": 1}')
        claimed = claim(runner)
        runner.step(Step(lines=[Line(job, 1, 1, 1e9, "log", "said")]))
        end(runner, claimed, State.SUCCEEDED, result=Payload("application/json", b'{"text": 1.50}'))

        document = json.loads(run("jobs", "show", job, "--json", "--log").stdout, parse_float=str)

        assert (document["id"], document["state"]) == (job, "succeeded")
        assert (document["args"], document["result"]) == ({"n": 1}, {"text": "1.50"})
        assert document["log"] == [
            {"seq": 1, "attempt": 1, "at": "2001-09-09T01:46:40.000000Z", "stream": "log", "line": "said"}
        ]
        assert "log" not in json.loads(run("jobs", "show", job, "--json").stdout)

    def test_what_is_no_json_is_told_by_its_size(self, run, store, runner):
        job = submit(store)
        assert json.loads(run("jobs", "show", job, "--json").stdout)["result"] is None
        end(runner, claim(runner), State.SUCCEEDED, result=Payload("image/png", b"\x89PNG"))

        document = json.loads(run("jobs", "show", job, "--json").stdout)

        assert document["result"] == {"media_type": "image/png", "bytes": 4}

    def test_a_job_that_there_is_not(self, run):
        result = run("jobs", "show", NOBODY)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"error: there is no job '{NOBODY}'\n"
