"""Jobs run as they should, on both databases."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.jobs import arguments
from service.jobs.database import Database, Transaction
from service.jobs.model import NewJob, State
from service.jobs.terms import terms_of
from service.tasks import registry
from tests.integration.jobs.workshop import Workshop, is_dead


class TestEnds:
    """How a job can end."""

    def test_with_a_result(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("twofold", n=2**70))

        assert (job.state, workshop.result(job.id), job.attempts) == (State.SUCCEEDED, 2**71, 1)
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.created_at <= job.started_at <= job.finished_at

    def test_with_bytes(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("image", size=3_000_000))

        result = workshop.store.result(job.id)
        assert result is not None
        assert (result.media_type, result.content) == ("application/octet-stream", b"\x89" * 3_000_000)

    def test_with_what_came_as_an_upload(self, workshop: Workshop) -> None:
        args = arguments.of_fields({"data": b"\x00\xff" * 1000, "name": "a \N{SNOWMAN}"})
        new = NewJob("swallow", args, **terms_of(registry.get("swallow")))
        with workshop.runner():
            job = workshop.wait(workshop.store.submit(new)[0].id)

        assert workshop.result(job.id) == "a \N{SNOWMAN}: 2000"

    def test_without_a_form_in_json(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("not_json"))

        assert job.state == State.FAILED
        assert job.error is not None
        assert job.error["type"] == "/problems/result-not-serializable"

    def test_with_arguments_that_no_longer_fit(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("twofold", m="x"))

        assert job.state == State.FAILED
        assert job.error is not None
        assert job.error["type"] == "/problems/validation"
        assert job.error["errors"]

    def test_at_its_timeout(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("hold", {"timeout": 0.3}, file=str(workshop.notes)))

        assert job.state == State.FAILED
        assert job.error is not None
        assert job.error["type"] == "/problems/deadline-exceeded"
        (pid,) = workshop.noted()
        assert is_dead(int(pid))

    def test_expired(self, workshop: Workshop) -> None:
        job = workshop.submit("twofold", {"expires_at": time.time() - 1}, n=1)
        other = workshop.submit("twofold", {"expires_at": time.time() + 60}, n=1)

        with workshop.runner():
            ended = workshop.wait(job)
            assert workshop.wait(other).state == State.SUCCEEDED

        assert ended.state == State.EXPIRED
        assert ended.attempts == 0

    def test_with_what_breaks_when_it_is_encoded(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("odd_result"))

        assert (job.state, job.attempts) == (State.FAILED, 1)
        assert job.error is not None
        assert job.error["type"] == "/problems/result-not-serializable"

    def test_after_progress_in_odd_numbers(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("odd_progress"))

        assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
        assert job.progress == {"done": 4.0, "total": None, "note": "half"}

    def test_with_a_text_that_its_follow_up_can_t_read(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("odd_text"))
            workshop.until(lambda: len(workshop.store.list(task="note_end")[0]) == 1)
            follower = workshop.wait(workshop.store.list(task="note_end")[0][0].id)

        assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
        assert follower.state == State.FAILED
        assert follower.error is not None
        assert follower.error["type"] == "/problems/malformed-json"

    def test_not_expired_once_it_was_begun(self, workshop: Workshop) -> None:
        with workshop.runner():
            expires_at = time.time() + 2
            job = workshop.submit("hold", {"expires_at": expires_at}, file=str(workshop.notes))
            workshop.until(lambda: len(workshop.noted()) == 1)
        assert workshop.store.get(job).state == State.QUEUED
        workshop.until(lambda: time.time() > expires_at)

        with workshop.runner():
            workshop.until(lambda: len(workshop.noted()) == 2)
            assert workshop.store.get(job).state == State.RUNNING


class TestRetries:
    def test_of_an_error_that_goes_away(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("succeed_at", file=str(workshop.notes), number=3))

        assert (job.state, workshop.result(job.id)) == (State.SUCCEEDED, 3)
        assert workshop.noted() == ["1", "2", "3"]
        assert (job.attempts, job.failures, job.crashes) == (3, 2, 0)

    def test_until_there_were_enough(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("succeed_at", file=str(workshop.notes), number=99))

        assert (job.state, job.attempts, job.failures) == (State.FAILED, 4, 4)
        assert job.error is not None
        assert "Busy" in job.error["detail"]

    @pytest.mark.parametrize("task", ["fail_otherwise", "refuse"])
    def test_not_of_another_error(self, workshop: Workshop, task: str) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit(task, file=str(workshop.notes)))

        assert (job.state, workshop.noted()) == (State.FAILED, ["1"])

    def test_of_crashes_are_counted_apart(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("crash", file=str(workshop.notes)))

        assert (job.state, workshop.noted()) == (State.FAILED, ["1", "2"])
        assert (job.attempts, job.failures, job.crashes) == (2, 0, 2)
        assert job.error is not None
        assert job.error["type"] == "/problems/task-crashed"

    def test_by_hand_begin_anew(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("crash", file=str(workshop.notes)))
            workshop.store.retry(job.id)
            workshop.until(lambda: len(workshop.noted()) == 4)
            job = workshop.wait(job.id)

        assert (job.state, job.attempts, job.crashes) == (State.FAILED, 4, 2)


class TestWhatATaskSays:
    def test_is_in_the_log_in_order(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("talk", lines=3))

        assert workshop.lines(job.id) == [
            ("stdout", "line 0"),
            ("stdout", "line 1"),
            ("stdout", "line 2"),
            ("log", "from log 1"),
        ]
        assert job.progress == {"done": 3, "total": 3, "note": "all said"}

    def test_is_there_while_it_runs(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.submit("hold", file=str(workshop.notes))
            workshop.until(lambda: ("stdout", "holding") in workshop.lines(job))
            assert workshop.store.get(job).state == State.RUNNING

    def test_is_cut_off_when_it_is_too_much(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("talk", lines=10_500))

        lines = workshop.store.log(job.id, limit=20_000)
        assert lines[9999].line == "line 9999"
        assert (lines[-1].stream, lines[-1].line) == ("system", "the log is full: 501 lines were dropped")
        assert len(lines) == 10_001

    def test_goes_on_in_the_next_attempt(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("succeed_at", file=str(workshop.notes), number=2))

        (line,) = workshop.store.log(job.id)
        assert (line.seq, line.attempt, line.stream) == (1, 1, "system")
        assert line.line.startswith("attempt 1 ended: the task raised Busy")


class TestCancel:
    @pytest.mark.parametrize("task", ["hold", "doze"])
    def test_kills_what_runs(self, workshop: Workshop, task: str) -> None:
        with workshop.runner():
            job = workshop.submit(task, file=str(workshop.notes))
            workshop.until(lambda: len(workshop.noted()) == 1)
            workshop.store.cancel(job)
            ended = workshop.wait(job)
            assert ended.state == State.CANCELLED
            assert is_dead(int(workshop.noted()[0]))
            # The lane and the slot are free again.
            assert workshop.wait(workshop.submit("twofold", n=1)).state == State.SUCCEEDED

    def test_of_a_batch(self, workshop: Workshop) -> None:
        new = NewJob("doze", arguments.of_fields({"file": str(workshop.notes)}), cpu=0, timeout=60)
        batch, _ = workshop.store.submit_batch([new] * 20, "")
        with workshop.runner():
            workshop.until(lambda: len(workshop.noted()) == 6)
            workshop.store.cancel_batch(batch.id)
            workshop.until(lambda: workshop.store.batch(batch.id).counts == {State.CANCELLED: 20})

        assert len(workshop.noted()) == 6


class Poisoned:
    """A database that chokes on one job's success, as on something that nobody has thought of."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.dialect = database.dialect
        self.reading = database.reading
        self.listen = database.listen
        self.close = database.close
        self.poison = ""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._database.transaction() as tx:
            yield _Choking(tx, self.poison)


class _Choking:
    def __init__(self, tx: Transaction, poison: str) -> None:
        self._tx, self._poison = tx, poison
        self.many, self.ring = tx.many, tx.ring

    def all(self, query: str, **parameters: Any) -> Any:
        if query == "settle" and parameters["id"] == self._poison and parameters["state"] == "succeeded":
            raise ValueError("that does not go down")
        return self._tx.all(query, **parameters)


def test_a_job_whose_end_can_t_be_written_stops_no_other(workshop: Workshop) -> None:
    database = Poisoned(workshop.database())
    database.poison = workshop.submit("twofold", n=1)
    others = [workshop.submit("twofold", n=n) for n in range(20)]

    with workshop.runner(database):
        poisoned = workshop.wait(database.poison)
        assert {workshop.wait(other).state for other in others} == {State.SUCCEEDED}

    assert (poisoned.state, poisoned.attempts) == (State.FAILED, 1)
    assert poisoned.error is not None
    assert poisoned.error["type"] == "/problems/internal-error"


class TestTurns:
    def test_priority_goes_first(self, workshop: Workshop) -> None:
        jobs = [workshop.submit("twofold", {"priority": p}, n=p) for p in (-5, 0, 7, 0, 100)]
        with workshop.runner(job_slots=1, cpu_slots=1):
            ended = [workshop.wait(job) for job in jobs]

        by_start = sorted(ended, key=lambda job: (job.started_at, -job.priority, job.id))
        assert [job.priority for job in by_start] == [100, 7, 0, 0, -5]

    def test_a_job_for_later_waits(self, workshop: Workshop) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("twofold", {"run_at": time.time() + 0.7}, n=1))

        assert job.started_at is not None
        assert 0 <= job.started_at - job.run_at < 0.5

    def test_many_short_ones_and_one_that_hangs(self, workshop: Workshop) -> None:
        """Jobs that were claimed together with one that takes long do not wait for it."""
        with workshop.runner():
            for job in [workshop.submit("twofold", n=n) for n in range(300)]:
                workshop.wait(job)
            held = workshop.submit("hold", {"priority": 1}, file=str(workshop.notes))
            jobs = [workshop.submit("twofold", n=n) for n in range(50)]
            for job in jobs:
                assert workshop.wait(job).state == State.SUCCEEDED
            assert workshop.store.get(held).state == State.RUNNING

    def test_waiting_jobs_do_not_hold_up_computing_ones(self, workshop: Workshop) -> None:
        with workshop.runner():
            for _ in range(6):
                workshop.submit("doze", file=str(workshop.notes))
            workshop.until(lambda: len(workshop.noted()) == 6)
            assert workshop.wait(workshop.submit("twofold", n=1)).state == State.SUCCEEDED


class TestFollowing:
    @pytest.mark.parametrize("fail", [False, True])
    def test_a_job_follows_another(self, workshop: Workshop, *, fail: bool) -> None:
        with workshop.runner():
            job = workshop.wait(workshop.submit("followed", fail=fail, file="x"))
            workshop.until(lambda: len(workshop.store.list(task="note_end")[0]) == 1)
            (follower,) = workshop.store.list(task="note_end")[0]
            workshop.wait(follower.id)

        told = workshop.result(follower.id)
        assert (told["id"], told["state"]) == (job.id, "failed" if fail else "succeeded")
        assert told["result"] == (None if fail else "x")
        assert (told["error"] is not None) is fail
        assert follower.parent == job.id

    def test_one_job_a_period_however_many_runners(self, workshop: Workshop) -> None:
        with workshop.runner(), workshop.runner():
            workshop.until(lambda: len(workshop.store.list(task="tick")[0]) >= 3)

        ticks = workshop.store.list(task="tick")[0]
        assert len({int(job.created_at) for job in ticks}) == len(ticks)


class TestStop:
    def test_gives_back_what_runs(self, workshop: Workshop) -> None:
        with workshop.runner(job_grace=0):
            job = workshop.submit("hold", file=str(workshop.notes))
            workshop.until(lambda: len(workshop.noted()) == 1)

        given_back = workshop.store.get(job)
        assert (given_back.state, given_back.attempts) == (State.QUEUED, 1)
        assert (given_back.failures, given_back.crashes) == (0, 0)
        assert is_dead(int(workshop.noted()[0]))

    def test_lets_short_jobs_end(self, workshop: Workshop) -> None:
        with workshop.runner(job_grace=20):
            job = workshop.submit("hold", file=str(workshop.notes), seconds=0.5)
            workshop.until(lambda: len(workshop.noted()) == 1)

        assert workshop.store.get(job).state == State.SUCCEEDED
