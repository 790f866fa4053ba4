"""What was measured. Times are seconds, sizes are bytes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Samples in short."""

    count: int
    least: float
    median: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Sum up one sample or more."""
        ordered = sorted(samples)

        def percentile(share: float) -> float:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

        median = statistics.median(ordered)
        return cls(len(ordered), ordered[0], median, percentile(0.95), percentile(0.99), ordered[-1])


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use of the machine."""

    #: CPUs that there are, that the affinity mask allows, and that the tightest cgroup quota allows.
    cpus: int
    affinity: int
    quota: float | None
    #: CPUs that count: what ``service.cpus`` makes of the others.
    usable: int
    #: Processes that wanted to run, as a mean over the last minute.
    load: float
    memory: int
    #: Memory that is free or can be made so, within the limit of the cgroup if that has one.
    available: int
    memory_limit: int | None


@dataclass(frozen=True, slots=True)
class Engine:
    """What the engine takes for itself."""

    #: From the first call to its answer, when there is no process and no fork server yet.
    first: float
    #: The wait for one more process, when there is a fork server; ``None``: there may be no second one.
    another: float | None
    #: There and back, for a call that does nothing.
    round_trip: Spread
    #: Calls that do nothing, in one map, a second.
    map_rate: float
    #: Bytes a second of an array that goes there and back, both ways counted.
    array_rate: float
    #: Bytes of that array.
    array_size: int


@dataclass(frozen=True, slots=True)
class Web:
    """What a request takes for itself, beside its task."""

    #: A request for a task that does nothing, one at a time.
    request: Spread
    #: CPU time that the web worker takes for one, several at a time.
    cpu: float


@dataclass(frozen=True, slots=True)
class Pace:
    """A map of copies of the call, with so many CPU slots."""

    slots: int
    #: Most calls at a time: the slots, or the processes that a task with ``cpu=0`` may have.
    width: int
    items: int
    #: How long the whole map took.
    wall: float
    #: What a call ran meanwhile, in the median.
    run: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.items / self.wall


@dataclass(frozen=True, slots=True)
class Task:
    """One task with one set of arguments."""

    name: str
    #: What it declares: CPU slots, and timeout if any.
    cpu: int
    timeout: float | None
    #: The first call in a process, which may import and load; the others.
    first: float
    run: Spread
    #: CPU time by run time, of all those calls; time in which others had the CPU is left out.
    share: float
    #: Share of the run time in which others had the CPU: 0 on a quiet machine.
    contended: float
    #: What a call takes beside its run: there and back with these arguments and this result.
    overhead: float
    #: Of the pool process: what is its own before the first call, and by how much its peak grew since.
    own_memory: int
    growth: int
    #: Most that was resident, with what it shares with others.
    peak: int
    #: Pickled, as they travel.
    arguments_size: int
    result_size: int
    #: As JSON: sizes (``None`` for no form in JSON), and CPU time to read arguments and write the result.
    request_json: int
    result_json: int | None
    json: float
    #: Maps of copies, by CPU slots; some are left out when there was no time for them.
    paces: tuple[Pace, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it."""

    machine: Machine
    engine: Engine
    web: Web | None
    #: Why ``web`` is not there.
    web_missing: str | None = None
    task: Task | None = None
