"""Pipelines for tests of the runner; who works is in files, since it is other processes."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from service.tasks import Pipeline, Stage, attempt, log
from tests.integration.jobs import job_tasks

#: Items that a stage has no result for, each for another reason.
RAISES, DIES, STAYS, BUSY = 101, 102, 103, 104


class Busy(Exception):
    """An error that goes away."""


def note(file: str) -> None:
    """Leave a note of who works."""
    with Path(file).open("a") as out:
        out.write(f"{os.getpid()}\n")


def give(items: list[int]) -> Iterator[int]:
    """Yield what is given."""
    yield from items


def double(item: int) -> int:
    """Return twice the item."""
    return 2 * item


def check(item: int) -> int:
    """Return most items."""
    if item == RAISES:
        raise LookupError("not that one")
    if item == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == STAYS:
        time.sleep(60)
    if item == BUSY and attempt() < 3:
        raise Busy(f"attempt {attempt()}")
    return item


def total(items: Iterable[int]) -> int:
    """Return the sum."""
    return sum(items)


def forget(item: int) -> None:
    """Pass nothing on."""


def letter(item: int) -> bytes:
    """Return a letter."""
    return b"%c" % item


def wrong(item: int) -> Any:
    """Return no bytes for 0."""
    return "text" if item == 0 else b"bytes"


def megabytes(count: int, file: str) -> Iterator[str]:
    """Yield texts of a megabyte, and note each."""
    for _ in range(count):
        note(file)
        yield "x" * 1_000_000


def same(item: str) -> str:
    """Return it."""
    return item


def not_json(item: int) -> float:
    """Return what JSON has no word for, for 3."""
    return float("nan") if item == 3 else 0.5


def chatter(items: list[int]) -> Iterator[int]:
    """Print, and yield."""
    print("begun")
    yield from items


def answer(item: int) -> int:
    """Print in every way."""
    print(f"item {item}")
    log("attempt", attempt())
    return item


def until(go: str, file: str) -> Iterator[str]:
    """Yield an item, and another one when there is a file."""
    note(file)
    yield file
    while not Path(go).exists():
        time.sleep(0.005)
    yield file


def work(file: str) -> int:
    """Note who works on an item."""
    note(file)
    return 1


def compute(file: str) -> int:
    """Compute for ever."""
    note(file)
    while True:
        pass


Pipeline("jobs.double", give, Stage(double, processes=2))
Pipeline("jobs.check", give, Stage(check, timeout=0.3), double, crash_retries=1)
Pipeline("jobs.busy", give, check, retries=3, retry_on=Busy, retry_delay=0.05)
Pipeline("jobs.total", give, double, total, on_success=job_tasks.note_end.__name__)
Pipeline("jobs.sink", give, forget)
Pipeline("jobs.letters", give, letter, media_type="text/plain")
Pipeline("jobs.wrong", give, wrong, media_type="text/plain")
Pipeline("jobs.large", megabytes, same, buffer=2)
Pipeline("jobs.not_json", give, not_json)
Pipeline("jobs.chatter", chatter, answer)
Pipeline("jobs.waiting", until, Stage(work, cpu=0))
Pipeline("jobs.wide", until, Stage(work, processes=6))
Pipeline("jobs.computing", until, Stage(compute, processes=2))
