"""Pipelines whose processes are found by the notes that they leave, in a file for each attempt."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from service.tasks import Pipeline, Stage, attempt


def note(folder: str) -> None:
    """Leave a note of who works."""
    with Path(folder, f"attempt-{attempt()}").open("a") as out:
        out.write(f"{os.getpid()}\n")


def wait_in(folder: str, number: int) -> Iterator[tuple[str, int]]:
    """Yield as many items, and one more when there is a file called ``go``."""
    note(folder)
    for item in range(number):
        yield folder, item
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    yield folder, number


def take(item: tuple[str, int]) -> tuple[str, int]:
    """Pass an item on, and say so."""
    folder, number = item
    note(folder)
    print(f"item {number}")
    return item


def compute(item: tuple[str, int]) -> int:
    """Compute until there is a file called ``go``."""
    folder, number = item
    note(folder)
    while not Path(folder, "go").exists():
        pass
    return number


def fail_at_one(item: tuple[str, int]) -> int:
    """Return the number of an item, unless it is 1."""
    if item[1] == 1:
        raise LookupError("not that one")
    return item[1]


Pipeline("e2e.waiting", wait_in, take, fail_at_one, crash_retries=10)
Pipeline("e2e.computing", wait_in, take, Stage(compute, processes=2), crash_retries=10)
