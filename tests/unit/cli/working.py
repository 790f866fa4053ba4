"""What tests of commands do with jobs beside them."""

import re
import time
from collections.abc import Callable

import click.testing

from service.jobs.claims import Claims, Settlement, Step, Want
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.store import Store

NOBODY = "01a211fc-317f-7000-8000-50151d2eba79"
PROBLEM = {"type": "/problems/task-failed", "title": "The task failed", "status": 500, "detail": "it raised"}

Run = Callable[..., click.testing.Result]


def submit(store: Store, task: str = "work", args: bytes = b'{"n": 1}', **more) -> str:
    job, _ = store.submit(NewJob(task, Payload("application/json", args), 1, 60.0, **more))
    return job.id


def claim(runner: Claims) -> Job:
    return runner.step(Step(wants={1: Want(1, len)})).claimed[0].job


def end(runner: Claims, job: Job, state: State, **more) -> None:
    assert not runner.step(Step(settlements=[Settlement(job, state, **more)])).refused


def cells(output: str) -> list[list[str]]:
    return [re.split(r"  +", line) for line in output.splitlines()]


def wait_for_age() -> str:
    """Return an age that everything there has."""
    begun = time.time()
    while time.time() <= begun + 0.01:
        time.sleep(0.001)
    return "0.01"
