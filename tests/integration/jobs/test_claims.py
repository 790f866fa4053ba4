"""Jobs as runners have them: each is claimed once, in its turn."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Claims, Expelled, Settlement, Step, Want
from service.jobs.model import Payload, State
from tests.integration.jobs.actors import ask, at_once, claim, lines, new_job, order, settle

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


def test_a_job_that_was_started_in_time_is_tried_again_after_it(store, runner, database, url):
    job, _ = store.submit(new_job(expires_at=time.time() + 3600))
    (claimed,) = claim(runner)
    settle(runner, claimed.job, State.QUEUED, run_at=0, failed=1)
    ask(url, f"UPDATE jobs SET expires_at = {time.time() - 1}")

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
    said = at_once(CLAIM_ALL, url, count=2)

    assert all(said), "one of them had nothing to do"
    assert max(Counter(said[0] + said[1]).values()) == 1
    assert len(said[0]) + len(said[1]) == 2000
    assert store.counts() == {State.SUCCEEDED: 2000}
    assert ask(url, "SELECT DISTINCT attempts FROM jobs") == [(1,)]


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
