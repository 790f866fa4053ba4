"""Short words for the tests of the tables of jobs: who submits, who runs, who looks."""

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from service.jobs import claims
from service.jobs.arguments import JSON
from service.jobs.claims import Claim, Claims, Settlement, Step, Want
from service.jobs.database import Database
from service.jobs.model import Job, NewJob, Payload, State

#: Tasks that runners of tests know.
TASKS = ("add", "wait")


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
            ended = Settlement(Job.of(lost), State.QUEUED, crashed=1)
            assert claims.settle(tx, ended, runner.runner, time.time())


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
