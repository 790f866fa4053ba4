"""How many users there are in the course of a run. Nothing here knows Locust, so tests can import it.

Each shape is a function of the part of its time that has passed, from 0 to 1. It returns the load: 1 is full
load, which are ``--users-per-core`` times ``--cores`` users.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Load = Callable[[float], float]

#: Loads of `steps`, each as long as the others.
STEPS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
#: How many steps `ramp` has: it goes up often enough to look even.
RAMP_STEPS = 20
#: Load beside the spike, and of it.
CALM, SPIKE = 0.25, 2.0
#: How long the spike is not there yet, and no more.
SPIKE_BEGINS, SPIKE_ENDS = 0.4, 0.6
SOAK = 0.7
#: Load before and after overload, and in it.
BEARABLE, OVERLOAD = 0.5, 4.0
OVERLOAD_BEGINS, OVERLOAD_ENDS = 0.25, 0.75


def ramp(part: float) -> float:
    """From nothing to full load, evenly."""
    return min(1.0, (math.floor(part * RAMP_STEPS) + 1) / RAMP_STEPS)


def steps(part: float) -> float:
    """25, 50, 75, 100, 125 and 150 % of full load, each for as long as the others: for the charts."""
    return STEPS[min(int(part * len(STEPS)), len(STEPS) - 1)]


def spike(part: float) -> float:
    """25 %, all at once 200 % for a fifth of the time, then 25 % again."""
    return SPIKE if SPIKE_BEGINS <= part < SPIKE_ENDS else CALM


def soak(_: float) -> float:
    """70 % all the time."""
    return SOAK


def overload(part: float) -> float:
    """50 %, then 400 % for half of the time, then 50 % again: what is refused, and whether it recovers."""
    return OVERLOAD if OVERLOAD_BEGINS <= part < OVERLOAD_ENDS else BEARABLE


SHAPES: dict[str, Load] = {shape.__name__: shape for shape in (ramp, steps, spike, soak, overload)}


@dataclass(frozen=True, slots=True)
class Plan:
    """A shape with its sizes."""

    shape: str
    #: Seconds that it takes.
    seconds: float
    #: Users that are full load.
    users: int

    def users_at(self, passed: float) -> int | None:
        """Return how many users there are to be after so many seconds; ``None`` when it is over."""
        if passed >= self.seconds:
            return None
        return max(1, round(SHAPES[self.shape](max(0.0, passed) / self.seconds) * self.users))


def full_load(users_per_core: float, cores: int) -> int:
    """Return the users that are full load."""
    return max(1, round(users_per_core * cores))


def explained() -> str:
    """Return a line for each shape, for --help."""
    return "\n".join(f"  {name:9} {(shape.__doc__ or '').strip()}" for name, shape in SHAPES.items())
