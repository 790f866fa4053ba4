"""Pipelines whose stages note which processes they are, so that a test can kill these."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from service.tasks import Pipeline, Stage

#: What this process has noted.
_noted: set[str] = set()


class Errand(NamedTuple):
    """An item that takes its time at every step."""

    number: int
    folder: str
    #: Seconds at each step.
    seconds: tuple[float, ...]


def errands(folder: str, seconds: list[tuple[float, ...]]) -> Iterator[Errand]:
    """Yield one item for each plan."""
    for number, plan in enumerate(seconds):
        yield Errand(number, folder, plan)


def _visit(errand: Errand, at: int) -> Errand:
    """Note the process that works here, the first time, and take some time."""
    note = f"{errand.folder}/{os.getpid()}"
    if note not in _noted:
        _noted.add(note)
        Path(note).touch()
    time.sleep(errand.seconds[at])
    return errand


def first(errand: Errand) -> Errand:
    """Do what is to be done first."""
    return _visit(errand, 0)


def second(errand: Errand) -> Errand:
    """Do what is to be done then."""
    return _visit(errand, 1)


def twice(errand: Errand) -> Iterator[Errand]:
    """Do it in two halves, and pass it on after each."""
    yield _visit(errand, 0)
    yield _visit(errand, 1)


Pipeline("t_killed_ordered", errands, Stage(first, processes=3), second, buffer=3)
Pipeline("t_killed_twice_ordered", errands, Stage(first, processes=2), Stage(second, processes=3), buffer=1)
Pipeline(
    "t_killed_unordered",
    errands,
    Stage(first, processes=3, ordered=False),
    Stage(second, processes=2, ordered=False),
    buffer=2,
)
Pipeline("t_killed_spread", errands, Stage(twice, processes=3), buffer=4)
