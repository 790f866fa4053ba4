"""The functions that ``bench_pipelines`` measures with, as pipelines and as tasks that do the same.

Every way to run them runs these functions, on the same items, and so has the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtests.http_work import burn
from service.tasks import Pipeline, Stage, task

#: Most stages that no-ops go through.
MOST_STAGES = 4
#: Processes of a stage where several share its work.
WIDTHS = (2, 4)

Array = npt.NDArray[np.float64]


class Load(NamedTuple):
    """An item: what has become of it so far, and how much a light and a heavy stage do with it."""

    value: int
    #: Rounds to compute, or microseconds to wait.
    light: int = 0
    heavy: int = 0


def numbers(n: int) -> Iterator[int]:
    """Yield the numbers below ``n``."""
    yield from range(n)


def loads(items: list[Load]) -> Iterator[Load]:
    """Yield what was given."""
    yield from items


def arrays(count: int, megabytes: int) -> Iterator[Array]:
    """Yield the same array again and again."""
    array = np.arange(megabytes << 17, dtype=np.float64)
    for _ in range(count):
        yield array


def noop(number: int) -> int:
    """Return what was given, for the answer to be checked."""
    return number


def double(array: Array) -> Array:
    """Return twice the array, in new memory."""
    return array * 2.0


def ends(array: Array) -> float:
    """Add up the ends of an array."""
    return float(array[0] + array[-1])


def burn_lightly(load: Load) -> Load:
    """Compute for the shorter time."""
    return load._replace(value=load.value + burn(load.light))


def burn_heavily(load: Load) -> Load:
    """Compute for the longer time."""
    return load._replace(value=load.value + burn(load.heavy))


def wait_lightly(load: Load) -> Load:
    """Wait for the shorter time."""
    time.sleep(load.light / 1e6)
    return load._replace(value=load.value + load.light)


def wait_heavily(load: Load) -> Load:
    """Wait for the longer time."""
    time.sleep(load.heavy / 1e6)
    return load._replace(value=load.value + load.heavy)


#: What the three stages of a pipeline do, by its name.
STAGES: dict[str, tuple[Callable[[Load], Load], ...]] = {
    "bench.burn": (burn_lightly, burn_heavily, burn_lightly),
    "bench.wait": (wait_lightly, wait_heavily, wait_lightly),
    "bench.even": (burn_lightly, burn_lightly, burn_lightly),
    "bench.mixed": (wait_lightly, burn_heavily, wait_lightly),
}
_WAITING = (wait_lightly, wait_heavily)


def through(stages: str, load: Load) -> Load:
    """Have one item go through all stages."""
    for function in STAGES[stages]:
        load = function(load)
    return load


def all_through(stages: str, items: list[Load]) -> list[Load]:
    """Have all items go through all stages."""
    return [through(stages, load) for load in items]


task(name="bench.through")(through)
task(name="bench.all_through")(all_through)
task(name="bench.burn_heavily")(burn_heavily)
task(name="bench.wait_heavily", cpu=0)(wait_heavily)

for name, functions in STAGES.items():
    stages = (
        Stage(function, cpu=0 if function in _WAITING else 1, name=f"stage-{place}")
        for place, function in enumerate(functions, start=1)
    )
    Pipeline(name, loads, *stages)
for width in WIDTHS:
    Pipeline(f"bench.ordered_{width}", loads, Stage(wait_heavily, processes=width, cpu=0))
    Pipeline(f"bench.unordered_{width}", loads, Stage(wait_heavily, processes=width, ordered=False, cpu=0))
for count in range(1, MOST_STAGES + 1):
    Pipeline(f"bench.noops_{count}", numbers, *(Stage(noop, name=f"stage-{n}") for n in range(1, count + 1)))
Pipeline("bench.arrays", arrays, double, ends)
