"""Short words for the tests of the tables of jobs: who submits, who runs, who looks."""

import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from service.jobs import claims
from service.jobs.arguments import JSON
from service.jobs.claims import Claim, Claims, Line, Settlement, Step, Want
from service.jobs.database import Database
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.store import Store
from tests.e2e.running import ROOT

#: Tasks that runners of tests know.
TASKS = ("add", "wait")
#: Ends what we have on a PostgreSQL server.
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'everycore'"


def new_job(task: str = "add", content: bytes = b"{}", **given: Any) -> NewJob:
    """Return a job that differs from a plain one in what is given."""
    plain: dict[str, Any] = {"task": task, "args": Payload(JSON, content), "cpu": 1, "timeout": 60.0}
    return NewJob(**(plain | given))


def claim(runner: Claims, limit: int = 100, cpu: int = 1) -> list[Claim]:
    """Claim what is next."""
    return runner.step(Step(wants={cpu: Want(limit, len)})).claimed


def settle(runner: Claims, job: Job, state: State = State.SUCCEEDED, **given: Any) -> bool:
    """Write down how an attempt ended; return whether it was taken."""
    return not runner.step(Step(settlements=[Settlement(job, state, **given)])).refused


def take_over(runner: Claims, database: Database) -> None:
    """Take a runner for dead, and have its jobs tried again, as a keeper does."""
    with database.transaction() as tx:
        (row,) = (row for row in tx.all("runners") if row["id"] == runner.runner)
        assert tx.all("expel", runner=runner.runner, beat=row["beat"])
        for lost in tx.all("jobs_of_runner", runner=runner.runner):
            settlement = Settlement(Job.of(lost), State.QUEUED, crashed=1)
            assert claims.settle(tx, settlement, runner.runner, time.time())


def ask(url: str, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement behind our back, and return its rows; ``?`` stands for a value."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30) as file:
            file.execute("PRAGMA foreign_keys = ON")
            rows = file.execute(question, values).fetchall()
        file.close()
        return rows
    with psycopg.connect(url) as connection:
        cursor = connection.execute(question.replace("?", "%s"), values or None)
        return cursor.fetchall() if cursor.description else []


def ended(store: Store, runner: Claims, state: State, **given) -> str:
    """Return the id of a job that has come to a state in the usual way."""
    if state is State.EXPIRED:
        job, _ = store.submit(new_job(expires_at=time.time() - 1, **given))
        with store._database.transaction() as tx:
            assert [row["id"] for row in tx.all("expire", now=time.time(), limit=10)] == [job.id]
        return job.id
    job, _ = store.submit(new_job(**given))
    if state in (State.RUNNING, State.SUCCEEDED, State.FAILED):
        (claimed,) = claim(runner)
        if state is not State.RUNNING:
            assert settle(runner, claimed.job, state)
    elif state is State.CANCELLED:
        store.cancel(job.id)
    assert store.get(job.id).state is state
    return job.id


def ids(jobs) -> list[str]:
    return [job.id for job in jobs]


def order(runner: Claims, **given) -> list[str]:
    """Return the ids of jobs in the order in which they are claimed, each by itself."""
    found = []
    while claimed := claim(runner, 1, **given):
        found.append(claimed[0].job.id)
    return found


def lines(job: Job, *texts: str, attempt: int | None = None) -> list[Line]:
    number = job.attempts if attempt is None else attempt
    return [Line(job.id, number, seq, 1.0, "stdout", text) for seq, text in enumerate(texts, 1)]


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script that reads its orders and prints what it finds."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def said(process: subprocess.Popen[str], order: str = "") -> str:
    """Give an order to a script, and return the line that it prints."""
    assert process.stdin
    assert process.stdout
    if order:
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
    line = process.stdout.readline().strip()
    assert line, process.communicate()[1]
    return line


def rings(listener: Any, seconds: float = 0.0) -> bool:
    """Tell whether a bell rings within some time, and take it in."""
    poll = select.poll()
    poll.register(listener.fileno(), select.POLLIN)
    if poll.poll(seconds * 1000):
        listener.hear()
        return True
    return False


def listen_to_the_end(listener: Any) -> None:
    """Listen until nothing more can be heard; the server may say goodbye first."""
    for _ in range(10):
        assert rings(listener, 10)


def at_once(script: str, *arguments: str, count: int) -> list[list[str]]:
    """Start processes that say ``ready`` and wait for a line, let all go at once; return their words."""
    command = [sys.executable, "-c", script, *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    running = [subprocess.Popen(command, **pipes) for _ in range(count)]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert all(process.returncode == 0 for process in running)
    return said
