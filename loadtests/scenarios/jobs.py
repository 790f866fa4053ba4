"""Durable jobs, from the submission to the checked result."""

from __future__ import annotations

import random
import time

from loadtests.scenarios.answers import Answer, Document, Wrong, is_so, sum_of_squares
from loadtests.scenarios.asking import PATIENCE, Asking, scenario

#: Seconds that an answer may wait for the end of a job, and between two looks at it.
WAIT, BETWEEN = 20, 0.1
_OPEN = frozenset({"queued", "running"})


def long_poll(user: Asking) -> None:
    """Submit, then let a request wait for the end."""
    n = random.randint(1000, 100_000)
    _check(ended(user, f"{_submit(user, n)}?wait={WAIT}"), n)


def poll(user: Asking) -> None:
    """Submit, then look again and again."""
    n = random.randint(1000, 100_000)
    _check(ended(user, _submit(user, n)), n)


def ended(user: Asking, path: str) -> Document:
    """Ask for a job until it has ended: a server that stops lets nobody wait."""
    until = time.monotonic() + PATIENCE
    while (job := user.ask(path, Answer.document, method="GET")).get("state") in _OPEN:
        if time.monotonic() > until:
            raise Wrong("the job does not end")
        time.sleep(BETWEEN)  # gevent's: Locust has put it there
    return job


def _submit(user: Asking, n: int) -> str:
    def accepted(answer: Answer) -> str:
        job = answer.document()
        is_so(job["state"] in _OPEN | {"succeeded"}, "the state of a new job is wrong")
        is_so(answer.headers.get("Location") == job["href"], "Location is another")
        return str(job["href"])

    body = {"task": "sum_of_squares", "args": {"n": n}}
    return user.ask("/v1/jobs", accepted, body=body, status=202)


def _check(job: Document, n: int) -> None:
    is_so(job.get("state") == "succeeded", "the job has not succeeded")
    is_so(job.get("result") == sum_of_squares(n), "the result is wrong")


class Jobs(Asking):
    """A job: submitted, waited for or looked after, its result checked."""

    tasks = scenario("jobs", wait=long_poll, poll=poll)
