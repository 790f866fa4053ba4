"""Pipelines whose stages note when they compute."""

from __future__ import annotations

import time
from collections.abc import Iterator

from service.tasks import Pipeline, Stage

Spans = list[tuple[float, float]]


def work_for(seconds: float) -> tuple[float, float]:
    """Compute, and return from when to when."""
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        pass
    return begun, now


def compute(n: int, seconds: float = 0.002) -> Iterator[Spans]:
    """Yield lists in which every stage notes when it computed."""
    for _ in range(n):
        yield [work_for(seconds)]


def compute_more(spans: Spans) -> Spans:
    """Compute as well."""
    return [*spans, work_for(0.002)]


def compute_twice(spans: Spans) -> Iterator[Spans]:
    """Compute twice, with a wait between."""
    half = [*spans, work_for(0.001)]
    yield half
    yield [work_for(0.001)]


def compute_with_all(all_spans: Iterator[Spans]) -> Iterator[Spans]:
    """Compute between items."""
    for spans in all_spans:
        yield [*spans, work_for(0.002)]


def compute_long(n: int, seconds: float) -> Iterator[int]:
    """Compute for long before each item."""
    for number in range(n):
        work_for(seconds)
        yield number


def plus_one(number: int) -> int:
    """Add one."""
    return number + 1


def wait_long(number: int) -> int:
    """Wait, as for a slow server."""
    time.sleep(0.01)
    return number


Pipeline(
    "t_computing",
    compute,
    Stage(compute_more, processes=2),
    Stage(compute_twice, processes=2),
    Stage(compute_more, processes=2, ordered=False, name="and_more"),
    compute_with_all,
    buffer=2,
)
Pipeline("t_waiting", Stage(compute_long, cpu=0), Stage(wait_long, processes=3, cpu=0))
Pipeline("t_held_up", compute_long, Stage(wait_long, processes=2, cpu=0), plus_one, buffer=1)
