"""The lanes of a runner: which are free, what they may take, who is stopped."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from service.engine.base import Engine
from service.engine.slots import Slots
from service.jobs.claims import Claim, Want
from service.jobs.lane import Lane
from service.jobs.news import News
from service.jobs.pace import Pace
from service.settings import Settings
from service.tasks.contract import Contract
from service.telemetry.tracing import Tracer

#: Seconds for which work waits for a slot that is free; then it stands in line for one like a request.
PATIENCE = 1.0
#: Jobs that are looked at, at most, for each free lane.
MAX_BATCH = 64


class Lanes:
    """As many for jobs that compute as may take a CPU slot, and some for jobs that mostly wait."""

    def __init__(
        self,
        engine: Engine,
        contracts: Mapping[str, Contract],
        settings: Settings,
        news: News,
        tracer: Tracer | None = None,
    ) -> None:
        """Start their threads."""
        # As many as its pool has processes for such calls: who was claimed should not have to wait.
        processes = settings.pool_processes
        waiting = max(1, processes - max(settings.job_slots, min(settings.cpu_slots, processes // 2)))
        numbers = {1: settings.job_slots, 0: waiting}
        self._all = {
            cpu: [Lane(cpu, engine, contracts, news, settings.job_timeout, tracer) for _ in range(number)]
            for cpu, number in numbers.items()
        }
        self._idle = {cpu: list(lanes) for cpu, lanes in self._all.items()}
        self._slots = Slots(settings.runtime_dir, settings.cpu_slots)
        self._pace = Pace()
        # How many jobs each lane takes of what is being claimed.
        self._shares: list[int] = []
        # CPU slots of jobs that may be waiting, and since when.
        self._work: set[int] = set()
        self._work_since = 0.0

    # What there is to do

    def expect_work(self) -> None:
        """Note that there may be jobs to claim."""
        if not self._work:
            self._work_since = time.monotonic()
        self._work = {0, 1}

    def wanted(self) -> dict[int, int]:
        """Return how many lanes can be filled now, by the CPU slots that their jobs take."""
        found = {cpu: self._wanted(cpu) for cpu in (1, 0)}
        return {cpu: lanes for cpu, lanes in found.items() if lanes}

    def _wanted(self, cpu: int) -> int:
        idle = len(self._idle[cpu]) if cpu in self._work else 0
        if not cpu or not idle:
            return idle
        free = self._slots.count - self._slots.taken
        if not free and time.monotonic() - self._work_since > PATIENCE:
            # Requests may take every slot that they are given; the line for them is fair.
            return 1
        return min(idle, free)

    @property
    def lack_slots(self) -> bool:
        """Whether lanes are idle and work is there; if none is ``wanted``, every slot is taken."""
        return 1 in self._work and bool(self._idle[1])

    def want(self, cpu: int, lanes: int) -> Want:
        """Return what to claim for so many lanes."""
        if not cpu:
            return Want(lanes, len)

        def choose(tasks: Sequence[str]) -> int:
            self._shares = self._pace.shares(tasks, lanes)
            return sum(self._shares)

        return Want(lanes * MAX_BATCH, choose)

    def fill(self, cpu: int, claims: Sequence[Claim], *, exhausted: bool) -> None:
        """Start what was claimed as ``want`` said; ``exhausted``: there is no more."""
        shares = self._shares if cpu else [1] * len(claims)
        assert sum(shares) == len(claims)
        begin = 0
        for share in shares:
            self._idle[cpu].pop().start(claims[begin : begin + share])
            begin += share
        if exhausted:
            self._work.discard(cpu)
        else:
            self._work_since = time.monotonic()

    def learn(self, task: str, seconds: float) -> None:
        """Take in how long a call of a task took."""
        self._pace.learn(task, seconds)

    # Lanes that are busy

    def free(self, lane: Lane) -> None:
        """Note that a lane is through."""
        self._idle[lane.cpu].append(lane)

    def busy(self) -> list[Lane]:
        """Return the lanes that have jobs."""
        return [lane for cpu, lanes in self._all.items() for lane in lanes if lane not in self._idle[cpu]]

    def jobs(self) -> Iterator[str]:
        """Return the ids of the jobs that lanes have."""
        return (attempt.job.id for lane in self.busy() for attempt in lane.attempts)

    def cancel(self, jobs: Collection[str]) -> None:
        """Kill these jobs, wherever they are."""
        if jobs:
            for lane in self.busy():
                lane.cancel(set(jobs))

    def stop(self, why: str) -> None:
        """Kill what runs, and give it back."""
        for lane in self.busy():
            lane.stop(why)

    def close(self) -> None:
        """End the threads."""
        for lanes in self._all.values():
            for lane in lanes:
                lane.close()
