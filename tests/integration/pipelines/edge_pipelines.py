"""Pipelines whose errors come at awkward moments."""

import time
from collections.abc import Iterable, Iterator

import numpy as np

from service.tasks import Pipeline, Stage

#: Seconds that an item may take, and that the even ones just about take.
LIMIT = 0.01


def edge_numbers(n: int) -> Iterator[int]:
    """Yield the numbers below n."""
    yield from range(n)


def nearly_late(number: int) -> int:
    """Take just about as long as may be, if the number is even."""
    if number % 2 == 0:
        end = time.monotonic() + LIMIT - 0.0003
        while time.monotonic() < end:
            pass
    return number


def dry_after(n: int, pause: float) -> Iterator[int]:
    """Raise a moment after the last number."""
    yield from range(n)
    time.sleep(pause)
    raise RuntimeError("the source is dry")


def head(numbers: Iterator[int]) -> Iterator[int]:
    """Want no more than one."""
    yield next(numbers)


def large_ones(n: int, kilobytes: int) -> Iterator[np.ndarray]:
    """Yield arrays that travel by memory."""
    for number in range(n):
        yield np.full(kilobytes * 128, number, dtype=np.float64)


def count_what_comes(blocks: Iterable[np.ndarray]) -> int:
    """Keep all of them, and take any error for the end."""
    kept = []
    try:
        for block in blocks:
            kept.append(block)  # noqa: PERF402 - what is kept up to an error counts
    except Exception:  # that is the mistake
        pass
    return len(kept)


class Explosive:
    """An argument that can't be unpickled."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def first_of(block: np.ndarray) -> float:
    """Return the first number of an array."""
    return float(block[0])


Pipeline("t_nearly_late", edge_numbers, Stage(nearly_late, timeout=LIMIT))
Pipeline("t_nearly_late_in_turn", edge_numbers, Stage(nearly_late, timeout=LIMIT, processes=2))
Pipeline("t_head", dry_after, head)
Pipeline("t_counts_what_comes", large_ones, count_what_comes)
Pipeline("t_large_ones", large_ones, first_of, buffer=300)
