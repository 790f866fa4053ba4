"""What follows from the figures: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.cli.advise.figures import Pace
from service.engine.estimates import WORTH_SPLITTING, Estimate

#: Items beyond which it is not looked for a number that pays.
MANY = 10_000
#: A call that computes for less of its time than this waits, and one that does for more computes.
WAITS, COMPUTES = 0.2, 0.8
#: From this share on a call uses several CPUs, if it is long enough to tell.
SEVERAL, LONG_ENOUGH = 1.3, 0.005
#: Of the best rate, what fewer slots must reach to be preferred.
NEARLY = 0.95
#: How many times the slowest call a timeout is, and the least that is worth declaring.
TIMEOUT_FACTOR, LEAST_TIMEOUT = 5.0, 1.0
#: Share of the memory and of a CPU that is planned with; the rest is for what nobody has thought of.
MEMORY_SHARE, CPU_SHARE = 0.8, 0.7
#: Utilisation to plan with: beyond it waits grow fast.
PLANNED = 0.7

_STEPS = (1, 2, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class FanOut:
    """What a fan-out costs: start + rounds x run + items x each."""

    #: What one call alone takes once it has been started, and beside copies of itself.
    alone: float
    beside: float
    #: What the whole takes beside the calls, and what each call takes of the one thread that sends it.
    start: float
    each: float
    #: Calls that run at a time.
    width: int

    def seconds(self, items: int) -> float:
        """Return how long ``items`` calls take at once."""
        if items * self.alone <= WORTH_SPLITTING or self.width == 1:
            return self.start + items * (self.alone + self.each)
        return self.start + math.ceil(items / self.width) * self.beside + items * self.each

    def one_by_one(self, items: int) -> float:
        """Return how long they take one after another, in the thread of the request itself."""
        return items * self.alone

    def pays_from(self) -> int | None:
        """Return the least number of items that are done sooner at once; ``None`` when there is none."""
        return next((n for n in range(2, MANY + 1) if self.seconds(n) < self.one_by_one(n)), None)


def per_item(pace: Pace) -> float:
    """Return what a call in a map takes beside its run."""
    return max(0.0, pace.wall / pace.items - pace.run / pace.width)


def speed_up(pace: Pace, alone: float) -> float:
    """Return how many times as fast as one after another a map was."""
    return pace.rate * alone


def best(paces: Sequence[Pace]) -> Pace:
    """Return the pace with the fewest slots that is nearly as fast as the fastest."""
    fastest = max(pace.rate for pace in paces)
    return min((pace for pace in paces if pace.rate >= NEARLY * fastest), key=lambda pace: pace.slots)


def chunk(run: float, items: int, width: int) -> int:
    """Return how many calls the engine sends at once when each runs for so long."""
    return Estimate(seconds=run, usual=run).chunk(items, width)


def slots(share: float, run: float, cpus: int) -> int:
    """Return the CPU slots with which the CPUs are busy and not more than that."""
    if share >= SEVERAL and run >= LONG_ENOUGH:
        return max(1, int(cpus / share))
    return max(cpus, int(cpus / share)) if WAITS <= share < COMPUTES else cpus


def timeout(slowest: float) -> float:
    """Return a round number of seconds that is several times the slowest call."""
    wanted = max(LEAST_TIMEOUT, TIMEOUT_FACTOR * slowest)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in _STEPS if step * power >= wanted * (1 - 1e-9))


def fitting_processes(available: int, one: int, workers: int) -> int:
    """Return how many pool processes of each worker there is memory for; 0 for none."""
    return int(MEMORY_SHARE * available / (workers * max(1, one)))


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests a second, one call each, and what bounds them."""

    rate: float
    bound: str
    #: How long a request keeps one of ``servers`` busy.
    service: float
    servers: int


def capacity(
    *, run: float, share: float, overhead: float, servers: int, cpus: int, declared: int
) -> Capacity:
    """Return what all CPUs, or all processes of a task that waits, can do.

    A call runs for ``run`` seconds and keeps one of ``servers`` meanwhile: CPU slots or, ``declared`` with
    ``cpu=0``, processes. It computes for ``share`` of that time. ``overhead`` is the CPU time that a request
    takes beside its call.
    """
    computing = run * share + overhead
    by_cpus = cpus / max(computing, 1e-9)
    by_servers = servers / max(run, 1e-9)
    if by_servers < by_cpus:
        return Capacity(by_servers, "CPU slots" if declared else "pool processes", run, servers)
    return Capacity(by_cpus, "CPUs", computing, cpus)


def workers(rate: float, cpu: float, cpus: int) -> int:
    """Return how many web workers ``rate`` requests a second need, each ``cpu`` seconds of one CPU."""
    return min(cpus, max(1, math.ceil(rate * cpu / CPU_SHARE)))
