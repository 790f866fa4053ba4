"""What is measured of every job queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from loadtests.jobs_plan import Figures, Plan
from loadtests.jobs_queue import PATIENCE, JobsFailed, Queue

#: When, and how many jobs had ended by then.
Look = tuple[float, int]

#: Seconds between two looks at how far the workers are.
LOOK = 0.05
#: Jobs before those at low load that count, for everything to be under way.
WARM_UPS = 10


def one_by_one(queue: Queue, plan: Plan) -> Figures:
    """Return how many jobs a second one client gets accepted that waits for each."""
    queue.enqueue("noop")
    return {"one_by_one": [rate_of(lambda: queue.enqueue("noop"), plan.seconds)]}


def rate_of(action: Callable[[], object], seconds: float) -> float:
    """Do something again and again for some seconds; return how often a second it was done."""
    begun = time.perf_counter()
    done = 0
    while (passed := time.perf_counter() - begun) < seconds:
        action()
        done += 1
    return done / passed


def backlog(queue: Queue, plan: Plan) -> Figures:
    """Return how many no-ops a second are completed while more of them wait."""
    before = queue.finished()
    queue.fill(plan.jobs)
    with queue.workers():
        looks = watch(lambda: queue.finished() - before, plan.jobs, plan.watch)
        queue.check()
    return {"completed": [rate(looks)]}


def watch(finished: Callable[[], int], jobs: int, seconds: float, patience: float = PATIENCE) -> list[Look]:
    """Look how many jobs have ended, from the first one on, until all have or the seconds have passed."""
    looks: list[Look] = []
    until = time.perf_counter() + patience
    while not looks or (looks[-1][1] < jobs and looks[-1][0] < looks[0][0] + seconds):
        now = time.perf_counter()
        if not looks and now > until:
            raise JobsFailed(f"no job has ended in {patience:g} s")
        if count := finished():
            looks.append((now, count))
        time.sleep(LOOK)
    return looks


def rate(looks: Sequence[Look]) -> float:
    """Return how many jobs ended a second between the first look and the last."""
    (begun, before), (ended, after) = looks[0], looks[-1]
    if ended == begun:
        raise JobsFailed("all jobs ended between two looks: there are too few of them to tell anything")
    return (after - before) / (ended - begun)


def low_load(queue: Queue, plan: Plan) -> Figures:
    """Return the milliseconds from a job's acceptance to its start and end, one job at a time."""
    figures: Figures = {}
    with queue.workers():
        for _ in range(WARM_UPS):
            queue.moments(queue.enqueue("stamp"))
        due = time.perf_counter()
        for _ in range(plan.single_jobs):
            due = max(due + plan.gap, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            for key, milliseconds in single(queue).items():
                figures.setdefault(key, []).append(milliseconds)
    return figures


def single(queue: Queue) -> dict[str, float]:
    """Submit one job and wait for its end; return the milliseconds of each step."""
    sent = time.time()
    job = queue.enqueue("stamp")
    accepted = time.time()
    moments = queue.moments(job) | {"done": time.time()}
    milliseconds = {key: (moment - accepted) * 1e3 for key, moment in moments.items()}
    return {"accept": (accepted - sent) * 1e3} | milliseconds
