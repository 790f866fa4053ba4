"""Pipelines that are busy, or wait, for as long as nobody ends them."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from service.tasks import Pipeline, Stage, task


def keep_busy(how: str, at: int) -> Iterator[tuple[int, str]]:
    """Yield items without end, of which one keeps its stage busy."""
    for number in itertools.count():
        yield number, how if number == at else ""


def busy(item: tuple[int, str]) -> int:
    """Do what never ends, in one way or another."""
    match item[1]:
        case "sleep":
            time.sleep(60)
        case "spin":
            while True:
                pass
        case "hold_the_gil":
            _ = (10**7) ** (10**8)
        case "deaf":
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
                signal.signal(signum, signal.SIG_IGN)
            while True:
                pass
    return item[0]


def count_on() -> Iterator[int]:
    """Yield numbers without end."""
    yield from itertools.count()


def a_few() -> Iterator[int]:
    """Yield ten numbers."""
    yield from range(10)


def as_they_are(item: tuple[int, str]) -> tuple[int, str]:
    """Change nothing."""
    return item


def as_it_is(number: int) -> int:
    """Change nothing."""
    return number


def one_and_wait(path: str) -> Iterator[int]:
    """Yield one, and no other before a file is there."""
    yield 1
    while not Path(path).exists():
        time.sleep(0.01)


def sleep_at_one(number: int) -> int:
    """Take long for one of them."""
    if number == 1:
        time.sleep(60)
    return number


def leave_a_child(number: int) -> int:
    """Fork once, and let the child live on with everything that is open here."""
    if number == 3 and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    return number


@task()
def t_called() -> str:
    """Return at once."""
    return "called"


@task(cpu=0)
def t_nap(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


Pipeline("t_busy", keep_busy, Stage(as_they_are, processes=2), Stage(busy, processes=3), as_it_is, buffer=2)
Pipeline("t_waits_for_all", Stage(one_and_wait, cpu=0), as_it_is, Stage(as_it_is, processes=2, name="again"))
Pipeline("t_unwanted", count_on, as_it_is, Stage(as_it_is, processes=2, name="again"))
Pipeline("t_busy_waiting", count_on, Stage(sleep_at_one, processes=3, cpu=0), as_it_is, buffer=1)
Pipeline("t_leaves_a_child", Stage(a_few, cpu=0), leave_a_child, as_it_is)
