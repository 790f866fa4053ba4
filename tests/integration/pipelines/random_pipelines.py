"""Pipelines of many shapes, whose items say what is to be done with them."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from service.tasks import Pipeline, Stage
from service.tasks.stages import Kind

#: Seconds that an item may take where one hangs.
LIMIT = 0.8


class Act(NamedTuple):
    """What a step does with an item."""

    #: Whether it ends well: see ``do``.
    how: str = "well"
    seconds: float = 0.0
    #: How many items a step that spreads makes of it.
    copies: int = 1


class Work(NamedTuple):
    """An item."""

    #: Number of the producer's item, then the number of the copy at each step that spreads.
    path: tuple[Any, ...]
    #: One for each step behind the producer.
    acts: tuple[Act, ...]


def do(act: Act) -> None:
    """Take some time, and end in some way."""
    time.sleep(act.seconds)
    match act.how:
        case "raise":
            raise ValueError("as it was told")
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            time.sleep(60)


def all_of(items: list[Work]) -> Iterator[Work]:
    """Yield what it was given."""
    yield from items


def _each(at: int) -> Callable[..., Any]:
    def each(work: Work) -> Work:
        do(work.acts[at])
        return work

    return each


def _spread(at: int) -> Callable[..., Any]:
    def spread(work: Work) -> Iterator[Work]:
        act = work.acts[at]
        for copy in range(act.copies):
            yield work._replace(path=(*work.path, copy))
        do(act)

    return spread


def _whole(at: int) -> Callable[..., Any]:
    def whole(works: Iterator[Work]) -> Iterator[Work]:
        for work in works:
            time.sleep(work.acts[at].seconds)
            yield work

    return whole


_FUNCTIONS = {Kind.EACH: _each, Kind.SPREAD: _spread, Kind.WHOLE: _whole}


def _pipeline(number: int, chance: random.Random) -> Pipeline:
    stages: list[Stage] = []
    for at in range(chance.randint(1, 3)):
        room = 7 - sum(stage.processes for stage in stages)
        kind = chance.choice((Kind.EACH, Kind.EACH, Kind.SPREAD, Kind.WHOLE))
        stages.append(
            Stage(
                _FUNCTIONS[kind](at),
                processes=1 if kind is Kind.WHOLE else min(chance.choice((1, 2, 2, 3)), room),
                ordered=chance.random() < 0.7,
                cpu=chance.choice((0, 1)),
                timeout=LIMIT,
                name=f"step_{at}",
            )
        )
    return Pipeline(f"t_random_{number}", all_of, *stages, buffer=chance.choice((1, 1, 2, 3, 8, 16)))


# The same ones in every process.
PIPELINES = [_pipeline(number, random.Random(number)) for number in range(24)]
