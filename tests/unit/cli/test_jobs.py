"""``python -m service jobs list | cancel | retry``."""

import json
import re
import time
from collections.abc import Callable, Sequence

import pytest

from service.jobs.claims import Step
from service.jobs.model import NewJob, Payload, State
from tests.unit.cli.working import NOBODY, cells, claim, end, submit


class TestList:
    def test_it_has_a_row_for_each_job_newest_first(self, run, store, runner):
        ended, runs = submit(store, max_attempts=4), submit(store)
        end(runner, claim(runner), State.SUCCEEDED, run_seconds=1.5, cpu_seconds=1.0)
        runner.step(
            Step(progress={runs: (claim(runner).attempts, {"done": 3, "total": 10, "note": "of\x1b it"})})
        )
        waits = submit(store, task="other", run_at=time.time() + 3600)

        result = run("jobs", "list")

        titles, *rows = cells(result.stdout)
        assert titles == ["id", "task", "state", "attempts", "created", "time", "progress"]
        assert [row[:4] for row in rows] == [
            [waits, "other", "queued", "0/1"],
            [runs, "work", "running", "1/1"],
            [ended, "work", "succeeded", "1/4"],
        ]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[4]) for row in rows)
        assert re.fullmatch(r"in 59m5\ds|in 1h00m", rows[0][5])
        assert re.fullmatch(r"runs \d\.\d\ds", rows[1][5])
        assert rows[2][5] == "1.50s"
        assert [row[6] for row in rows] == ["-", r"3/10 of\x1b it", "-"]
        assert (result.exit_code, result.stderr) == (0, "")

    def test_it_can_be_read_by_programs(self, run, store):
        first, second = submit(store), submit(store)

        documents = [json.loads(line) for line in run("jobs", "list", "--json").stdout.splitlines()]

        assert [document["id"] for document in documents] == [second, first]
        assert documents[0]["state"] == "queued"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", documents[0]["created_at"])
        assert documents[0]["finished_at"] is None

    @pytest.fixture
    def found(self, run, store) -> Callable[..., Sequence[str]]:
        def found(*options: str) -> Sequence[str]:
            result = run("jobs", "list", *options)
            assert result.exit_code == 0, result.stderr
            return [row[0] for row in cells(result.stdout)[1:]]

        return found

    def test_by_state(self, found, store):
        queued, cancelled = submit(store), submit(store)
        store.cancel(cancelled)

        assert found("--state", "cancelled") == [cancelled]
        assert found("--state", "queued,cancelled,queued") == [cancelled, queued]
        assert found("--state", "failed") == []

    def test_by_task(self, found, store):
        submit(store)
        other = submit(store, task="other")

        assert found("--task", "other") == [other]

    def test_by_batch(self, found, store):
        submit(store)
        batch, ids = store.submit_batch([NewJob("work", Payload("application/json", b"{}"), 1, 60.0)] * 2, "")

        assert found("--batch", batch.id) == ids[::-1]
        assert found("--batch", batch.id.upper()) == ids[::-1]
        assert found("--batch", NOBODY) == []

    def test_by_time(self, found, store):
        job = submit(store)

        for since in ("1h", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+01:00"):
            assert found("--since", since) == [job]
        assert found("--since", "2999-01-31T12:00:00Z") == []

    def test_it_says_that_there_are_more(self, run, store):
        jobs = [submit(store) for _ in range(3)]

        few, all_of_them = run("jobs", "list", "--limit", "2"), run("jobs", "list", "--limit", "3")

        assert [row[0] for row in cells(few.stdout)[1:]] == jobs[:0:-1]
        assert few.stderr == "there are more than 2; --limit shows more of them\n"
        assert (len(cells(all_of_them.stdout)), all_of_them.stderr) == (4, "")

    @pytest.mark.parametrize(
        ("option", "value", "why"),
        [
            ("--state", "done", "'done' is none of queued, running,"),
            ("--state", "", "'' is none of queued"),
            ("--task", "a b", "not the name of a task"),
            ("--batch", "1", "not a valid UUID"),
            ("--since", "yesterday", "neither a duration, such as 2h, nor a time"),
            ("--since", "2026-01-31T12:00:00", "in which time zone"),
            ("--limit", "0", "not in the range"),
        ],
    )
    def test_what_an_option_can_not_be_is_refused(self, run, option, value, why):
        result = run("jobs", "list", option, value)

        assert (result.exit_code, result.stdout) == (2, "")
        assert why in result.stderr
        assert option in result.stderr


class TestCancel:
    def test_it_says_what_became_of_each(self, run, store, runner):
        runs = submit(store)
        claim(runner)
        waits = submit(store)

        result = run("jobs", "cancel", waits, runs, waits)

        assert result.stdout == f"{waits}: cancelled\n{runs}: runs; its runner was told to kill it\n"
        assert (result.exit_code, result.stderr) == (0, "")
        assert store.get(waits).state is State.CANCELLED
        assert store.get(runs).cancel_requested

    def test_what_can_not_be_cancelled_does_not_keep_the_others(self, run, store):
        ended, waits = submit(store), submit(store)
        store.cancel(ended)

        result = run("jobs", "cancel", NOBODY, ended, waits)

        assert (result.exit_code, result.stdout) == (1, f"{waits}: cancelled\n")
        assert result.stderr.splitlines() == [
            f"error: there is no job '{NOBODY}'",
            f"error: job {ended} is cancelled and can't be cancelled any more",
        ]

    @pytest.mark.parametrize("command", ["cancel", "retry"])
    def test_nothing_is_done_when_one_is_no_id(self, run, store, command):
        job = submit(store)

        result = run("jobs", command, job, "1")

        assert (result.exit_code, result.stdout) == (2, "")
        assert "'1' is not a valid UUID" in result.stderr
        assert store.get(job).version == 1

    @pytest.mark.parametrize("command", ["cancel", "retry", "show"])
    def test_it_needs_one(self, run, command):
        assert run("jobs", command).exit_code == 2


class TestRetry:
    def test_it_says_what_became_of_each(self, run, store):
        cancelled, waits = submit(store), submit(store)
        store.cancel(cancelled)

        result = run("jobs", "retry", cancelled, waits)

        assert (result.exit_code, result.stdout) == (1, f"{cancelled}: queued\n")
        assert result.stderr == f"error: job {waits} is queued and can't be tried again\n"
        assert store.get(cancelled).state is State.QUEUED
