"""Pipelines run as jobs, on both databases."""

import time
from pathlib import Path
from typing import Any

import pytest

from service.jobs.attempt import MAX_RESULT
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.terms import terms_of
from service.tasks import registry
from service.tasks.strict_json import dumps
from tests.integration.jobs.job_pipelines import BUSY, DIES, RAISES, STAYS
from tests.integration.jobs.workshop import Workshop, is_dead


def problem_of(job: Job) -> dict[str, Any]:
    assert job.error is not None
    return job.error


def counts_of(job: Job) -> dict[str, tuple[int, int, int]]:
    """Return what each stage has taken, passed on and left out."""
    assert job.progress is not None
    stages = job.progress["stages"]
    return {stage["name"]: (stage["items_in"], stage["items_out"], stage["skipped"]) for stage in stages}


def until(workshop: Workshop, name: str) -> dict[str, Any]:
    """Return arguments of a pipeline that waits for ``name``, and notes who works in a file of its own."""
    return {"go": str(workshop.folder / name), "file": str(workshop.folder / f"{name}-notes")}


def workers(args: dict[str, Any]) -> list[int]:
    """Return the processes that have noted that they work."""
    notes = Path(args["file"])
    return [int(pid) for pid in notes.read_text().split()] if notes.exists() else []


class TestEnds:
    """How it can end."""

    def test_with_a_list(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.double", items=[3, 1, 2**70]))

        assert (job.state, workshop.result(job.id), job.attempts) == (State.SUCCEEDED, [6, 2, 2**71], 1)
        assert job.progress == {
            "done": 3,
            "total": None,
            "note": "",
            "stages": [
                {"name": "give", "items_in": 0, "items_out": 3, "skipped": 0},
                {"name": "double", "items_in": 3, "items_out": 3, "skipped": 0},
            ],
        }
        assert job.run_seconds is not None
        assert job.cpu_seconds is not None
        assert job.run_seconds > 0 < job.cpu_seconds

    @pytest.mark.parametrize(
        ("pipeline", "items", "result"),
        [("jobs.double", [], []), ("jobs.total", [1, 2, 3], [12]), ("jobs.sink", [1, 2], [])],
    )
    def test_with_whatever_the_last_stage_gives(
        self, workshop: Workshop, pipeline: str, items: list[int], result: list[int]
    ) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit(pipeline, items=items))

        assert (job.state, workshop.result(job.id)) == (State.SUCCEEDED, result)

    def test_with_bytes(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.letters", items=list(b"hello")))

        assert workshop.store.result(job.id) == Payload("text/plain", b"hello")

    def test_with_what_is_no_bytes(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.wrong", items=[1, 0, 1]))

        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert (problem_of(job)["type"], problem_of(job)["item"]) == ("/problems/task-failed", 1)

    def test_with_more_than_is_kept(self, workshop: Workshop) -> None:
        most = MAX_RESULT // 1_000_000
        with workshop.runner():
            job = workshop.submit("jobs.large", count=1000, file=str(workshop.notes))
            ended = workshop.wait(job, within=40)

        assert (ended.state, ended.attempts) == (State.FAILED, 1)
        assert problem_of(ended)["type"] == "/problems/result-not-serializable"
        assert f"more than the {MAX_RESULT} bytes that are kept" in problem_of(ended)["detail"]
        # It ended at once: no more was made than is under way between the processes.
        assert most < len(workshop.noted()) < most + 20

    def test_with_what_has_no_form_in_json(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.not_json", items=[1, 2, 3, 4]))

        problem = problem_of(job)
        assert (job.state, problem["type"]) == (State.FAILED, "/problems/result-not-serializable")
        assert (problem["stage"], problem["item"]) == ("not_json", 2)
        assert "the result has no form in JSON (ValueError)" in problem["detail"]

    def test_with_an_error_that_names_the_stage(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", items=[1, RAISES, 2]))

        problem = problem_of(job)
        assert (job.state, job.failures, job.crashes) == (State.FAILED, 1, 0)
        assert (problem["type"], problem["stage"], problem["item"]) == ("/problems/task-failed", "check", 1)
        assert "not that one" not in problem["detail"]
        assert workshop.lines(job.id)[-1][0] == "system"

    def test_with_a_crash_after_further_attempts(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", items=[1, DIES]))

        problem = problem_of(job)
        assert (job.state, job.attempts, job.failures, job.crashes) == (State.FAILED, 2, 0, 2)
        assert (problem["type"], problem["stage"], problem["item"]) == ("/problems/task-crashed", "check", 1)

    def test_with_an_item_that_takes_too_long(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", items=[STAYS]))

        problem = problem_of(job)
        assert (job.state, job.attempts, problem["stage"]) == (State.FAILED, 1, "check")
        assert problem["type"] == "/problems/deadline-exceeded"

    def test_at_its_timeout(self, workshop: Workshop) -> None:
        args = until(workshop, "never")
        with workshop.runner():
            # The first one waits for processes to be made.
            workshop.wait(workshop.submit("jobs.check", items=[1]))
            job = workshop.wait(workshop.submit("jobs.computing", {"timeout": 0.7}, **args))
            assert all(map(is_dead, workers(args)))

        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert problem_of(job)["type"] == "/problems/deadline-exceeded"
        assert len(workers(args)) >= 2

    def test_with_a_result_after_an_error_that_goes_away(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.busy", items=[1, BUSY]))

        assert (job.state, workshop.result(job.id)) == (State.SUCCEEDED, [1, BUSY])
        assert (job.attempts, job.failures) == (3, 2)

    def test_and_be_tried_again_by_hand(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", items=[RAISES]))
            workshop.store.retry(job.id)
            workshop.until(lambda: workshop.store.get(job.id).attempts == 2)
            again = workshop.wait(job.id)

        assert (again.state, again.attempts, again.failures) == (State.FAILED, 2, 1)

    def test_and_be_followed(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.total", items=[1]))
            workshop.until(lambda: len(workshop.store.list(task="note_end")[0]) == 1)
            follower = workshop.wait(workshop.store.list(task="note_end")[0][0].id)

        assert (follower.parent, workshop.result(follower.id)["result"]) == (job.id, [2])

    def test_together_with_others_of_a_batch(self, workshop: Workshop) -> None:
        def new(task: str, **args: Any) -> NewJob:
            return NewJob(task, Payload("application/json", dumps(args)), **terms_of(registry.get(task)))

        jobs = [new("jobs.double", items=[i]) if i % 2 else new("twofold", n=i) for i in range(20)]
        batch, ids = workshop.store.submit_batch(jobs, "")
        with workshop.runner():
            workshop.until(lambda: workshop.store.batch(batch.id).counts == {State.SUCCEEDED: 20})

        assert [workshop.result(job) for job in ids] == [[2 * i] if i % 2 else 2 * i for i in range(20)]

    def test_with_what_was_claimed_as_a_job_that_computes(self, workshop: Workshop) -> None:
        """As one that was submitted when its name was a task's; it runs between others of its lane."""
        jobs = [
            workshop.submit("twofold", n=1),
            workshop.submit("jobs.double", {"cpu": 1}, items=[2]),
            workshop.submit("twofold", n=3),
        ]
        with workshop.runner(cpu_slots=1, job_slots=1):
            for job in jobs:
                workshop.wait(job)

        assert [workshop.result(job) for job in jobs] == [2, [4], 6]


class TestLeavingOut:
    ITEMS = (1, RAISES, 2, DIES, 3, STAYS, 4)

    def test_goes_on_and_says_what_was_left_out(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", {"skip": True}, items=self.ITEMS))

        assert (job.state, workshop.result(job.id), job.attempts) == (State.SUCCEEDED, [2, 4, 6, 8], 1)
        assert job.skip
        assert job.progress is not None
        assert (job.progress["done"], job.progress["note"]) == (4, "3 left out")
        assert counts_of(job)["check"] == (7, 4, 3)
        said = [line for stream, line in workshop.lines(job.id) if stream == "system"]
        assert len(said) == 3
        for item in (1, 3, 5):
            assert any(line.startswith(f"left out: stage 'check', item {item}: ") for line in said)

    def test_is_asked_for(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.check", items=[RAISES]))

        assert (job.state, job.skip) == (State.FAILED, False)


class TestMeanwhile:
    def test_its_progress_tells_of_its_stages(self, workshop: Workshop) -> None:
        args = until(workshop, "go")
        with workshop.runner():
            job = workshop.submit("jobs.waiting", **args)
            workshop.until(lambda: (workshop.store.get(job).progress or {}).get("done") == 1)
            told = {"until": (0, 1, 0), "work": (1, 1, 0)}
            workshop.until(lambda: counts_of(workshop.store.get(job)) == told)
            meanwhile = workshop.store.get(job)
            Path(args["go"]).touch()
            ended = workshop.wait(job)

        assert meanwhile.state is State.RUNNING
        assert counts_of(ended) == {"until": (0, 2, 0), "work": (2, 2, 0)}

    def test_what_its_stages_print_is_in_its_log(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("jobs.chatter", items=[1, 2]))

        lines = workshop.lines(job.id)
        assert ("stdout", "begun") in lines
        # What one process says comes in order.
        said = [("stdout", "item 1"), ("log", "attempt 1"), ("stdout", "item 2"), ("log", "attempt 1")]
        assert [line for line in lines if line != ("stdout", "begun")] == said


class TestRoom:
    """There are eight processes for pipelines, and each of these wants seven."""

    def test_they_run_one_after_the_other_and_others_beside_them(self, workshop: Workshop) -> None:
        first, second = until(workshop, "first"), until(workshop, "second")
        with workshop.runner(pool_processes=8):
            jobs = [workshop.submit("jobs.wide", {"timeout": 20}, **first)]
            workshop.until(lambda: len(workers(first)) == 2)
            jobs.append(workshop.submit("jobs.wide", {"timeout": 20}, **second))
            workshop.until(lambda: workshop.store.get(jobs[1]).progress is not None)
            waiting = workshop.store.get(jobs[1])
            # A task needs no room.
            assert workshop.wait(workshop.submit("twofold", n=1)).state is State.SUCCEEDED
            assert workers(second) == []
            Path(first["go"]).touch()
            workshop.until(lambda: len(workers(second)) == 2)
            Path(second["go"]).touch()
            ended = [workshop.wait(job) for job in jobs]

        assert waiting.progress is not None
        assert (waiting.state, waiting.progress["note"]) == (State.RUNNING, "waits for other pipelines")
        assert [job.state for job in ended] == [State.SUCCEEDED] * 2

    def test_the_time_that_it_may_take_begins_when_it_begins(self, workshop: Workshop) -> None:
        first, second = until(workshop, "first"), until(workshop, "second")
        with workshop.runner(pool_processes=8):
            workshop.submit("jobs.wide", **first)
            workshop.until(lambda: len(workers(first)) == 2)
            job = workshop.submit("jobs.wide", {"timeout": 1}, **second)
            workshop.until(lambda: workshop.store.get(job).progress is not None)
            began = time.monotonic()
            workshop.until(lambda: time.monotonic() > began + 1.2)
            assert workshop.store.get(job).state is State.RUNNING
            Path(second["go"]).touch()
            Path(first["go"]).touch()
            ended = workshop.wait(job)

        assert (ended.state, ended.attempts) == (State.SUCCEEDED, 1)
        assert ended.run_seconds is not None
        assert ended.run_seconds < 1

    def test_one_that_waits_can_be_cancelled(self, workshop: Workshop) -> None:
        first, second = until(workshop, "first"), until(workshop, "second")
        with workshop.runner(pool_processes=8):
            workshop.submit("jobs.wide", **first)
            workshop.until(lambda: len(workers(first)) == 2)
            job = workshop.submit("jobs.wide", **second)
            workshop.wait(job, State.RUNNING)
            workshop.store.cancel(job)
            ended = workshop.wait(job)

        assert ended.state is State.CANCELLED
        assert workers(second) == []


class TestStops:
    @pytest.mark.parametrize("pipeline", ["jobs.waiting", "jobs.computing"])
    def test_a_cancel_kills_every_process(self, workshop: Workshop, pipeline: str) -> None:
        args = until(workshop, "go")
        with workshop.runner():
            job = workshop.submit(pipeline, **args)
            workshop.until(lambda: len(workers(args)) == 2)
            workshop.store.cancel(job)
            ended = workshop.wait(job)
            assert ended.state is State.CANCELLED
            assert all(map(is_dead, workers(args)))
            # Room and slots are free again.
            again = until(workshop, "again")
            Path(again["go"]).touch()
            assert workshop.wait(workshop.submit("jobs.wide", **again)).state is State.SUCCEEDED
            assert workshop.wait(workshop.submit("twofold", n=1)).state is State.SUCCEEDED

    def test_a_stop_gives_it_back(self, workshop: Workshop) -> None:
        args = until(workshop, "go")
        with workshop.runner(job_grace=0):
            job = workshop.submit("jobs.computing", **args)
            workshop.until(lambda: len(workers(args)) == 2)

        given_back = workshop.store.get(job)
        assert (given_back.state, given_back.attempts) == (State.QUEUED, 1)
        assert (given_back.failures, given_back.crashes) == (0, 0)
        assert all(map(is_dead, workers(args)))

    def test_a_stop_gives_back_one_that_waits_for_room(self, workshop: Workshop) -> None:
        first, second = until(workshop, "first"), until(workshop, "second")
        with workshop.runner(job_grace=0, pool_processes=8):
            workshop.submit("jobs.wide", **first)
            workshop.until(lambda: len(workers(first)) == 2)
            job = workshop.submit("jobs.wide", **second)
            workshop.wait(job, State.RUNNING)

        assert workshop.store.get(job).state is State.QUEUED

    def test_a_stop_lets_a_short_one_end(self, workshop: Workshop) -> None:
        args = until(workshop, "go")
        with workshop.runner(job_grace=20):
            job = workshop.submit("jobs.waiting", **args)
            workshop.until(lambda: len(workers(args)) == 2)
            Path(args["go"]).touch()

        assert workshop.store.get(job).state is State.SUCCEEDED

    def test_a_runner_that_may_have_lost_its_lease_stops_it(self, workshop: Workshop) -> None:
        args = until(workshop, "go")
        with workshop.runner() as runner:
            job = workshop.submit("jobs.computing", **args)
            workshop.until(lambda: len(workers(args)) == 2)
            runner._claims.renewed_at = time.monotonic() - 60
            runner.mind_lease()
            workshop.until(lambda: all(map(is_dead, workers(args)[:2])))
            workshop.until(lambda: len(workers(args)) == 4)

        assert workshop.store.get(job).attempts >= 2
        assert any("could not renew its lease" in line for _, line in workshop.lines(job))
