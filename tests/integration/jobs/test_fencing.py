"""Who has lost a job changes nothing of it any more."""

import threading
import time

import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Expelled, Settlement, Step, Want
from service.jobs.database import open_database
from service.jobs.model import Payload, State
from tests.integration.jobs.actors import ask, claim, lines, new_job, order, settle, take_over


def test_who_does_not_have_a_job_can_not_settle_it(store, runner, new_runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    stranger = new_runner()

    stranger.step(Step(progress={job.id: (1, {"done": 1})}))
    assert not settle(stranger, claimed.job)

    assert store.get(job.id) == claimed.job


def test_a_late_result_is_refused_while_another_runner_has_the_job(store, new_runner, database):
    job, _ = store.submit(new_job(webhook="https://example.org/"))
    zombie, other = new_runner(), new_runner()
    (lost,) = claim(zombie)
    take_over(zombie, database)
    (claimed,) = claim(other)
    before = store.get(job.id)
    assert (before.attempts, before.crashes) == (2, 1)

    zombie.register()
    late = Step(
        lines=lines(lost.job, "late"),
        progress={job.id: (1, {"done": 1, "total": 1, "note": ""})},
        settlements=[Settlement(lost.job, State.SUCCEEDED, result=Payload(JSON, b"1"))],
    )
    done = zombie.step(late)

    assert done.refused == late.settlements
    assert store.get(job.id) == before
    assert (store.result(job.id), store.log(job.id), store.deliveries(job.id)) == (None, [], [])
    assert settle(other, claimed.job, State.FAILED)


def test_a_late_result_is_refused_when_the_same_runner_has_a_later_attempt(store, runner):
    """The fence is the number of the attempt, not only the runner."""
    job, _ = store.submit(new_job())
    (first,) = claim(runner)
    settle(runner, first.job, State.QUEUED, run_at=0, failed=1)
    (second,) = claim(runner)

    late = runner.step(
        Step(
            lines=lines(first.job, "late"),
            progress={job.id: (1, {"done": 9})},
            settlements=[Settlement(first.job, State.SUCCEEDED, result=Payload(JSON, b"1"))],
        )
    )

    assert len(late.refused) == 1
    assert store.get(job.id) == second.job
    assert store.log(job.id) == []
    both = Step(settlements=[Settlement(first.job, State.FAILED), Settlement(second.job, State.SUCCEEDED)])
    assert [each.state for each in runner.step(both).refused] == [State.FAILED]
    assert store.get(job.id).state is State.SUCCEEDED


def test_a_late_result_is_refused_after_the_job_was_tried_again_by_hand(store, runner, new_runner, database):
    job, _ = store.submit(new_job())
    (lost,) = claim(runner)
    take_over(runner, database)
    other = new_runner()
    settle(other, claim(other)[0].job, State.FAILED)
    store.retry(job.id)
    runner.register()
    (now,) = claim(runner)  # the zombie itself has it, for the third time

    assert not settle(runner, lost.job, State.SUCCEEDED)
    assert settle(runner, now.job, State.SUCCEEDED)


def test_who_was_expelled_changes_nothing_at_all(store, runner, new_runner, database, url):
    mine, waiting = (store.submit(new_job())[0].id for _ in range(2))
    (claimed,) = claim(runner, 1)
    other = new_runner()
    take_over(runner, database)
    before = ask(url, "SELECT * FROM jobs ORDER BY id")

    whole = Step(
        lines=lines(claimed.job, "late"),
        progress={mine: (1, {"done": 1})},
        settlements=[Settlement(claimed.job, State.SUCCEEDED, result=Payload(JSON, b"1"))],
        wants={1: Want(10, len)},
    )
    for act in (lambda: runner.step(whole), lambda: runner.step(Step()), runner.beat):
        with pytest.raises(Expelled):
            act()

    assert ask(url, "SELECT * FROM jobs ORDER BY id") == before
    assert ask(url, "SELECT COUNT(*) FROM job_log") == [(0,)]
    assert ask(url, "SELECT DISTINCT kind FROM payloads") == [("args",)]
    assert order(other) == [mine, waiting]
    runner.leave()  # does nothing, and says nothing
    assert {store.get(job).state for job in (mine, waiting)} == {State.RUNNING}


def test_a_runner_that_moves_is_not_expelled(runner, database):
    with database.transaction() as tx:
        (row,) = tx.all("runners")
    runner.beat()

    with database.transaction() as tx:
        assert tx.all("expel", runner=runner.runner, beat=row["beat"]) == []
        assert tx.all("runners")[0]["beat"] == row["beat"] + 1
    runner.step(Step())


@pytest.mark.parametrize("renew", ["beat", "step"])
def test_a_lease_counts_from_when_the_database_took_note(runner, url, renew):
    """Not from when it was asked to: it may have been busy for long."""
    busy, free_at = threading.Event(), []

    def keep_busy():
        other = open_database(url)
        with other.transaction() as tx:
            tx.all("beat", runner=runner.runner, now=time.time())
            busy.set()
            time.sleep(0.3)
            free_at.append(time.monotonic())
        other.close()

    thread = threading.Thread(target=keep_busy)
    thread.start()
    busy.wait()
    if renew == "beat":
        runner.beat()
    else:
        runner.step(Step())
    thread.join()

    assert free_at[0] < runner.renewed_at < time.monotonic()


def test_a_runner_is_not_expelled_in_the_middle_of_a_step(store, runner, database, url):
    """Whoever wants to finds that it is at it, or waits and finds that it has moved."""
    job, _ = store.submit(new_job())
    with database.transaction() as tx:
        (row,) = tx.all("runners")
    in_step, expelled = threading.Event(), []

    def expel():
        in_step.wait()
        other = open_database(url)
        with other.transaction() as tx:
            expelled.append(tx.all("expel", runner=runner.runner, beat=row["beat"]))
        other.close()

    thread = threading.Thread(target=expel)
    thread.start()

    def choose(tasks):
        in_step.set()
        thread.join(0.2)
        return len(tasks)

    (claimed,) = runner.step(Step(wants={1: Want(1, choose)})).claimed
    thread.join()

    assert expelled == [[]]
    assert settle(runner, claimed.job)
    assert store.get(job.id).state is State.SUCCEEDED
