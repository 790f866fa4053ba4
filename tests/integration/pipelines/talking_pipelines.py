"""Pipelines whose stages say something beside what they pass on."""

from __future__ import annotations

import os
from collections.abc import Iterator

from service.tasks import Pipeline, Stage, progress


def say(number: int) -> int:
    """Print."""
    print(f"working on {number}")
    return number


def say_and_die(number: int) -> int:
    """Die with a word."""
    if number == 3:
        print("I die of 3")
        os._exit(4)
    return number


def tell_progress(number: int) -> int:
    """Tell how far it is, of whatever."""
    progress(number, 5)
    return number


def numbers(n: int) -> Iterator[int]:
    """Yield the numbers below n."""
    yield from range(n)


Pipeline("t_says", numbers, say)
Pipeline("t_many_say", numbers, Stage(say, processes=2), Stage(say, processes=2, name="again"))
Pipeline("t_says_and_dies", numbers, say_and_die)
Pipeline("t_progresses", numbers, tell_progress)
