"""Jobs as runners have them: claimed once, settled by who has them, taken over from who is gone."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Claims, Expelled, Line, Settlement, Step, Want
from service.jobs.database import open_database
from service.jobs.model import Job, LogLine, Payload, State
from tests.e2e.running import ROOT, wait_until
from tests.integration.jobs.actors import ask, claim, new_job, settle, take_over

#: Two threads of one runner, as its own and its keeper, claim and settle until nothing is left.
CLAIM_ALL = """
import sys, threading
from service.jobs.claims import Claims, Settlement, Step, Want
from service.jobs.database import open_database
from service.jobs.model import State
from tests.integration.jobs.actors import TASKS

claims = Claims(open_database(sys.argv[1]), TASKS)
claims.register()
print("ready", flush=True)
input()
claimed = []

def work():
    mine = []
    while mine is not None:
        settlements = [Settlement(each.job, State.SUCCEEDED) for each in mine]
        done = claims.step(Step(settlements=settlements, wants={1: Want(7, len)}))
        assert not done.refused
        claimed.extend(each.job.id for each in done.claimed)
        mine = done.claimed or None

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*claimed)
"""


def order(runner: Claims, **given) -> list[str]:
    """Return the ids of jobs in the order in which they are claimed, each by itself."""
    found = []
    while claimed := claim(runner, 1, **given):
        found.append(claimed[0].job.id)
    return found


def lines(job: Job, *texts: str, attempt: int | None = None) -> list[Line]:
    number = job.attempts if attempt is None else attempt
    return [Line(job.id, number, seq, 1.0, "stdout", text) for seq, text in enumerate(texts, 1)]


# What is claimed, and in which order


def test_a_claim_tells_all_that_is_needed(store, runner):
    job, _ = store.submit(new_job("wait", b'{"n": 1}', priority=3))
    before = time.time()

    (claimed,) = claim(runner)

    assert claimed.job == store.get(job.id)
    assert claimed.args == Payload(JSON, b'{"n": 1}')
    assert claimed.log_end == 0
    assert (claimed.job.state, claimed.job.attempts, claimed.job.version) == (State.RUNNING, 1, 2)
    assert claimed.job.started_at is not None
    assert before <= claimed.job.started_at <= time.time()
    assert claim(runner) == []


def test_higher_priorities_go_first_and_within_one_who_came_first(store, runner):
    made = [
        (priority, store.submit(new_job(priority=priority))[0].id) for priority in (0, 5, -3, 5, 0, 100, -100)
    ]

    expected = [job for _, job in sorted(made, key=lambda each: -each[0])]  # which keeps the order of equals
    assert order(runner) == expected


def test_many_are_claimed_in_the_same_order_as_one_by_one(store, runner):
    made = [(number % 3, store.submit(new_job(priority=number % 3))[0].id) for number in range(12)]

    claimed = [each.job.id for each in claim(runner, 5) + claim(runner, 100)]

    assert claimed == [job for _, job in sorted(made, key=lambda each: -each[0])]


def test_a_job_that_is_given_back_keeps_its_turn(store, runner):
    first, second = (store.submit(new_job())[0].id for _ in range(2))
    (claimed,) = claim(runner, 1)
    settle(runner, claimed.job, State.QUEUED)

    assert order(runner) == [first, second]


def test_a_job_is_not_claimed_before_its_time(store, runner, database):
    later = time.time() + 3600
    job, _ = store.submit(new_job(run_at=later))
    now, _ = store.submit(new_job(run_at=time.time() - 3600))
    assert order(runner) == [now.id]

    with database.transaction() as tx:
        assert tx.all("next_due") == [{"run_at": later}]
        assert tx.all("make_ready", now=later - 1, limit=10) == []
    assert order(runner) == []
    with database.transaction() as tx:
        assert tx.all("make_ready", now=later + 1, limit=10) == [{"id": job.id}]
        assert tx.all("next_due") == [{"run_at": None}]
    assert order(runner) == [job.id]


def test_a_job_is_not_started_after_its_time(store, runner):
    """Nobody may have been there to let it expire."""
    late, _ = store.submit(new_job(expires_at=time.time() - 0.001))
    good, _ = store.submit(new_job(expires_at=time.time() + 3600))

    assert order(runner) == [good.id]
    assert store.get(late.id).state is State.QUEUED


def test_a_job_that_was_started_in_time_is_tried_again_after_it(store, runner, database):
    soon = time.time() + 0.1
    job, _ = store.submit(new_job(expires_at=soon))
    (claimed,) = claim(runner)
    settle(runner, claimed.job, State.QUEUED, run_at=0, failed=1)
    wait_until(lambda: time.time() > soon, 10, lambda: "the clock stands still")

    with database.transaction() as tx:
        assert tx.all("next_expiry") == [{"expires_at": None}]
        assert tx.all("expire", now=time.time(), limit=10) == []
    assert order(runner) == [job.id]


def test_jobs_are_made_ready_and_expire_in_pieces(store, database):
    now = time.time()
    due = [store.submit(new_job(run_at=now + 10 + number))[0].id for number in range(5)]
    old = [store.submit(new_job(expires_at=now + 20 - number))[0].id for number in range(5)]

    with database.transaction() as tx:
        ready = [{row["id"] for row in tx.all("make_ready", now=now + 99, limit=3)} for _ in range(3)]
        expired = [{row["id"] for row in tx.all("expire", now=now + 99, limit=3)} for _ in range(3)]

    assert ready == [set(due[:3]), set(due[3:]), set()]
    assert expired == [set(old[2:]), set(old[:2]), set()]
    assert {store.get(job).state for job in old} == {State.EXPIRED}


def test_tasks_that_a_runner_does_not_know_are_left(store, database, runner):
    other, _ = store.submit(new_job("from_another_version", priority=100))
    known, _ = store.submit(new_job("wait"))

    assert order(runner) == [known.id]
    ignorant = Claims(database, ())
    ignorant.register()
    assert order(ignorant) == []
    versed = Claims(database, ("from_another_version",))
    versed.register()
    assert order(versed) == [other.id]


def test_jobs_that_wait_and_jobs_that_compute_are_claimed_apart(store, runner):
    computing = [store.submit(new_job(cpu=1))[0].id for _ in range(3)]
    waiting = [store.submit(new_job(cpu=0))[0].id for _ in range(3)]

    done = runner.step(Step(wants={1: Want(2, len), 0: Want(1, len)}))

    assert [each.job.id for each in done.claimed] == [*computing[:2], waiting[0]]
    assert order(runner, cpu=0) == waiting[1:]
    assert order(runner, cpu=1) == computing[2:]


def test_who_claims_chooses_how_many_by_their_tasks(store, runner):
    made = [store.submit(new_job(task))[0].id for task in ("add", "wait", "add", "add")]
    asked = []

    def choose(tasks):
        asked.append(list(tasks))
        return tasks.index("wait") + 1

    claimed = runner.step(Step(wants={1: Want(3, choose)})).claimed

    assert asked == [["add", "wait", "add"]]
    assert [each.job.id for each in claimed] == made[:2]
    assert runner.step(Step(wants={1: Want(3, lambda tasks: 0)})).claimed == []
    assert order(runner) == made[2:]


def test_two_runners_claim_every_job_once(store, url):
    store.submit_batch([new_job() for _ in range(2000)], "")
    command = [sys.executable, "-c", CLAIM_ALL, url]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in running]

    assert all(process.returncode == 0 for process in running)
    assert all(said), "one of them had nothing to do"
    assert max(Counter(said[0] + said[1]).values()) == 1
    assert len(said[0]) + len(said[1]) == 2000
    assert store.counts() == {State.SUCCEEDED: 2000}
    assert ask(url, "SELECT DISTINCT attempts FROM jobs") == [(1,)]


# How attempts end


def test_how_an_attempt_ended_is_written_down(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    said = {"done": 1, "total": 2, "note": "é"}

    taken = settle(
        runner, claimed.job, result=Payload(JSON, b"3"), progress=said, run_seconds=0.5, cpu_seconds=0.25
    )

    assert taken
    after = store.get(job.id)
    assert (after.state, after.version, after.attempts) == (State.SUCCEEDED, 3, 1)
    assert (after.progress, after.run_seconds, after.cpu_seconds) == (said, 0.5, 0.25)
    assert (after.failures, after.crashes, after.error) == (0, 0, None)
    assert after.finished_at is not None
    assert store.result(job.id) == Payload(JSON, b"3")


def test_a_job_is_tried_again_at_its_time(store, runner, database):
    job, _ = store.submit(new_job(max_attempts=3))
    error = {"title": "no", "detail": "\0 \ud800"}
    later = time.time() + 3600
    settle(runner, claim(runner)[0].job, State.QUEUED, run_at=later, failed=1, error=error)

    waiting = store.get(job.id)
    assert (waiting.state, waiting.run_at, waiting.finished_at) == (State.QUEUED, later, None)
    assert (waiting.failures, waiting.crashes, waiting.error) == (1, 0, error)
    assert order(runner) == []
    with database.transaction() as tx:
        tx.all("make_ready", now=later, limit=10)
    (claimed,) = claim(runner)
    assert claimed.job.attempts == 2
    settle(runner, claimed.job, State.QUEUED, run_at=0, crashed=1)
    again = store.get(job.id)
    assert (again.failures, again.crashes, again.error) == (1, 1, error)
    (claimed,) = claim(runner)
    settle(runner, claimed.job)
    assert store.get(job.id).error is None


def test_what_went_wrong_last_is_known_until_it_goes_right(store, runner):
    job, _ = store.submit(new_job())
    error = {"title": "no"}
    settle(runner, claim(runner)[0].job, State.QUEUED, run_at=0, failed=1, error=error)

    settle(runner, claim(runner)[0].job, State.QUEUED)  # given back

    assert store.get(job.id).error == error
    settle(runner, claim(runner)[0].job, State.CANCELLED)
    assert store.get(job.id).error == error


def test_a_job_that_somebody_wants_cancelled_is_not_tried_again(store, runner):
    job, _ = store.submit(new_job(webhook="https://example.org/"))
    (claimed,) = claim(runner)
    store.cancel(job.id)

    assert settle(runner, claimed.job, State.QUEUED, run_at=0, failed=1)

    after = store.get(job.id)
    assert (after.state, after.cancel_requested) == (State.CANCELLED, False)
    assert after.finished_at == pytest.approx(time.time(), abs=10)
    assert [each.event for each in store.deliveries(job.id)] == ["job.cancelled"]
    assert order(runner) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_job_that_ended_before_it_was_cancelled_has_ended(store, runner, state):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    store.cancel(job.id)

    settle(runner, claimed.job, state)

    assert (store.get(job.id).state, store.get(job.id).cancel_requested) == (state, False)


def test_an_attempt_is_settled_once(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    assert settle(runner, claimed.job, result=Payload(JSON, b"1"))
    before = store.get(job.id)

    assert not settle(runner, claimed.job, State.FAILED, error={})
    assert not settle(runner, claimed.job, State.SUCCEEDED, result=Payload(JSON, b"2"))

    assert store.get(job.id) == before
    assert store.result(job.id) == Payload(JSON, b"1")


# Fencing


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


# A step is done whole or not at all


def test_a_step_that_fails_in_the_middle_leaves_nothing(store, runner, url):
    jobs = [store.submit(new_job())[0] for _ in range(4)]
    held = [each.job for each in claim(runner, 3)]
    before = [ask(url, f"SELECT * FROM {table}") for table in ("jobs", "payloads", "job_log", "runners")]
    unfit = Payload(None, b"")  # type: ignore[arg-type] # a result without a media type

    step = Step(
        lines=[line for job in held for line in lines(job, "a", "b")],
        progress={held[0].id: (1, {"done": 1})},
        settlements=[
            Settlement(held[1], State.SUCCEEDED, result=Payload(JSON, b"1")),
            Settlement(held[2], State.SUCCEEDED, result=unfit),
        ],
        wants={1: Want(10, len)},
    )
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        runner.step(step)

    assert [
        ask(url, f"SELECT * FROM {table}") for table in ("jobs", "payloads", "job_log", "runners")
    ] == before
    assert settle(runner, held[1]), "it can still be done"
    assert order(runner) == [jobs[3].id]


def test_a_step_that_was_committed_unknown_to_the_runner_is_done_once(store, runner, new_runner):
    """The answer to a commit may be lost; the runner does it again, and says what it knows it has."""
    ended, forgotten, kept = (store.submit(new_job())[0].id for _ in range(3))
    first, second = claim(runner, 1), []
    step = Step(
        lines=lines(first[0].job, "hello"),
        settlements=[Settlement(first[0].job, State.SUCCEEDED, result=Payload(JSON, b"1"))],
        wants={1: Want(1, len)},
    )
    (lost,) = runner.step(step).claimed
    second = claim(runner, 1)

    hello = lines(second[0].job, "hello")
    runner.step(Step(hello))

    done = runner.step(Step([*step.lines, *hello], settlements=step.settlements, held={ended, kept}))

    assert lost.job.id == forgotten
    assert done.refused == step.settlements
    for job in (ended, kept):
        assert [line.line for line in store.log(job)] == ["hello"]
    assert store.result(ended) == Payload(JSON, b"1")
    assert [store.get(job).state for job in (ended, forgotten, kept)] == ["succeeded", "queued", "running"]
    assert settle(runner, second[0].job)
    assert order(new_runner()) == [forgotten]


def test_what_is_settled_may_be_claimed_again_in_the_same_step(store, runner):
    job, _ = store.submit(new_job())
    (first,) = claim(runner)

    done = runner.step(
        Step(
            lines=lines(first.job, "one", "two"),
            settlements=[Settlement(first.job, State.QUEUED)],
            wants={1: Want(1, len)},
        )
    )

    (second,) = done.claimed
    assert (second.job.id, second.job.attempts, second.log_end) == (job.id, 2, 2)


# Leaving


def test_who_leaves_gives_its_jobs_back_at_once(store, runner, new_runner, url):
    made = [store.submit(new_job())[0].id for _ in range(3)]
    claimed = claim(runner, 2)
    store.cancel(made[1])

    runner.leave()

    assert [store.get(job).state for job in made] == ["queued", "cancelled", "queued"]
    given_back = store.get(made[0])
    assert (given_back.failures, given_back.crashes, given_back.attempts) == (0, 0, 1)
    assert ask(url, "SELECT COUNT(*) FROM runners") == [(0,)]
    with pytest.raises(Expelled):
        settle(runner, claimed[0].job)
    assert order(new_runner()) == [made[0], made[2]]


# Messages to webhooks


def test_messages_to_hosts_that_are_busy_wait(store, runner, database):
    hosts = ("one.example", "two.example", "one.example")
    for host in hosts:
        store.cancel(store.submit(new_job(webhook=f"https://{host}/"))[0].id)
    now = time.time() + 1

    def claimed(*busy: str) -> list[str]:
        given = {"runner": runner.runner, "now": now, "again": now + 30, "busy": busy}
        with database.transaction() as tx:
            return [row["host"] for row in tx.all("claim_delivery", **given)]

    assert claimed("one.example") == ["two.example"]
    assert claimed("one.example") == []
    assert [claimed(), claimed(), claimed()] == [["one.example"], ["one.example"], []]


# The log


def test_lines_of_an_attempt_are_in_the_log(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    runner.step(Step(lines=lines(claimed.job, "one", "zwei ü")))
    settle(runner, claimed.job, State.QUEUED, run_at=0)
    (claimed,) = claim(runner)
    assert claimed.log_end == 2
    runner.step(Step(lines=[Line(job.id, 2, 3, 2.5, "stderr", "three")]))

    assert store.log(job.id) == [
        LogLine(1, 1, 1.0, "stdout", "one"),
        LogLine(2, 1, 1.0, "stdout", "zwei ü"),
        LogLine(3, 2, 2.5, "stderr", "three"),
    ]


def test_lines_are_refused_from_who_does_not_have_the_job(store, runner, new_runner):
    job, other = (store.submit(new_job())[0] for _ in range(2))
    (claimed,) = claim(runner, 1)
    stranger = new_runner()

    stranger.step(Step(lines=lines(claimed.job, "from a stranger")))
    runner.step(Step(lines=lines(claimed.job, "of a later attempt", attempt=2)))
    runner.step(Step(lines=[Line(other.id, 0, 1, 1.0, "stdout", "of a job that waits")]))
    runner.step(Step(lines=[Line("nobody", 1, 1, 1.0, "stdout", "of no job")]))
    settle(runner, claimed.job)
    runner.step(Step(lines=lines(claimed.job, "after its end")))

    assert store.log(job.id) == store.log(other.id) == []


def test_the_last_lines_come_in_time_with_the_end(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)

    done = runner.step(
        Step(lines=lines(claimed.job, "bye"), settlements=[Settlement(claimed.job, State.FAILED)])
    )

    assert done.refused == []
    assert [line.line for line in store.log(job.id)] == ["bye"]


# Progress


def test_progress_is_that_of_the_attempt_that_runs(store, runner):
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    said = {"done": 1, "total": None, "note": "\0"}
    runner.step(Step(progress={job.id: (1, said)}))
    assert store.get(job.id).progress == said

    runner.step(Step(progress={job.id: (2, {"done": 2})}))
    assert store.get(job.id).progress == said

    settle(runner, claimed.job, State.QUEUED, run_at=0, progress=said)
    assert store.get(job.id).progress == said, "until the next one begins"
    claim(runner)
    assert store.get(job.id).progress is None


# Together


def test_nobody_waits_for_each_other_in_a_circle(store, database, new_runner):
    """Runners that write, and clients that cancel whole batches, take rows in one order."""
    runners = [new_runner() for _ in range(2)]
    rounds = 15

    def run(runner, over):
        while not over.is_set():
            held = [each.job for each in claim(runner, 8)]
            some, others = held[::2], held[1::2]
            runner.step(
                Step(
                    lines=[line for job in reversed(held) for line in lines(job, "hello")],
                    progress={job.id: (job.attempts, {"done": 1}) for job in reversed(some)},
                    settlements=[Settlement(job, State.QUEUED, run_at=0) for job in reversed(others)],
                )
            )
            runner.step(Step(settlements=[Settlement(job, State.QUEUED, run_at=0) for job in some]))

    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, runner, over) for runner in runners]
        try:
            for _ in range(rounds):
                batch, _ = store.submit_batch([new_job() for _ in range(20)], "")
                list(pool.map(lambda _, batch=batch: store.cancel_batch(batch.id), range(3)))
        finally:
            over.set()
        for each in running:
            each.result()
    for runner in runners:
        runner.leave()
    assert store.counts() == {State.CANCELLED: 20 * rounds}
