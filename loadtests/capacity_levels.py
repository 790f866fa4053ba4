"""What ``bench_capacity`` measures: the costs of a request, and what becomes of requests that come at random.

one client ─> latency, CPU time of a request ─┐
                                              ├─> predicted: throughput, p50, p95
rate ──────────────────────────────────────────┘
  └─> arrivals ─┬─> Locust ─> the service      measured
                └─> as many ideal servers      ideal: these very arrivals, nothing but the calls
"""

from __future__ import annotations

import dataclasses
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from loadtests import http_overload
from loadtests.http_answers import Recording, TrafficFailed, percentile
from loadtests.http_capacity import Work
from loadtests.http_drive import drive
from loadtests.http_servers import Server
from loadtests.http_traffic import Stream
from service.cli.advise import queueing

#: Seconds before the answers count, and for the last ones to come in.
WARM, TAIL = 2.0, 2.5
_SHARES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request takes when there is no other; seconds."""

    #: Until its answer is there, in the median.
    latency: float
    #: Of CPU: of all processes of the service, and of the load generator, which has the same CPUs.
    service_cpu: float
    generator_cpu: float
    cpus: int

    @property
    def cpu(self) -> float:
        """Altogether."""
        return self.service_cpu + self.generator_cpu

    @property
    def capacity(self) -> float:
        """Requests a second that keep all CPUs busy."""
        return self.cpus / self.cpu


@dataclass(frozen=True, slots=True)
class Level:
    """What became of one offered rate; latencies are milliseconds."""

    #: Of the predicted capacity.
    share: float
    offered: float
    predicted: dict[str, float]
    ideal: dict[str, float]
    measured: dict[str, float]
    refused: int
    #: CPUs that the load generator took, and that were taken by what has no part in this.
    generator_cpu: float
    others_cpu: float


def cost(server: Server, work: Work, cpus: int, seconds: float) -> Cost:
    """Have one client ask, each time when it has its answer."""
    calls = http_overload.calls(server, work, users=1)
    before = server.cpu_seconds()
    recording = drive([calls], seconds)
    used = server.cpu_seconds() - before
    recording.check(calls.name)
    answers = recording.of(calls.name)
    return Cost(
        latency=percentile((answer.seconds for answer in answers), 0.5),
        service_cpu=used / len(answers),
        generator_cpu=recording.generator_cpu * recording.traffic.total / len(answers),
        cpus=cpus,
    )


def level(server: Server, work: Work, cost: Cost, share: float, seconds: float, seed: int) -> Level:
    """Offer a share of the capacity, at random moments."""
    rate = share * cost.capacity
    arrivals = poisson(rate, WARM + seconds, random.Random(seed))
    begun, others = time.monotonic(), _others(server)
    recording = drive([stream(server, work, rate, arrivals)], seconds, warm=WARM, tail=TAIL)
    counted = [at for at in arrivals if at >= WARM]
    offered = len(counted) / seconds
    return Level(
        share=share,
        offered=offered,
        predicted=predicted(cost, rate) | {"rate": min(offered, cost.capacity)},
        ideal=_ideal(cost, arrivals),
        measured=measured(recording),
        refused=sum(answer.status == 503 for answer in recording.of("calls")),
        generator_cpu=recording.generator_cpu,
        others_cpu=max(0.0, _others(server) - others) / (time.monotonic() - begun),
    )


def _others(server: Server) -> float:
    """Return the CPU seconds that everything on this machine has taken, but for what takes part."""
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return float(busy) - server.cpu_seconds() - sum(used.ru_utime + used.ru_stime for used in ours)


def poisson(rate: float, seconds: float, chance: random.Random) -> tuple[float, ...]:
    """Return moments, in order, that know nothing of each other: ``rate`` of them a second in the mean."""
    found, now = [], chance.expovariate(rate)
    while now < seconds:
        found.append(now)
        now += chance.expovariate(rate)
    return tuple(found)


def predicted(cost: Cost, rate: float) -> dict[str, float]:
    """Return the latencies of the formula: equal calls, M/D/c; infinite where the queue grows without end."""
    return _latencies(cost, lambda share: queueing.wait(rate, cost.cpu, cost.cpus, share, variation=0.0))


def _ideal(cost: Cost, arrivals: Sequence[float]) -> dict[str, float]:
    waits = queueing.waits(arrivals, cost.cpu, cost.cpus)
    counted = [wait for at, wait in zip(arrivals, waits, strict=True) if at >= WARM]
    return _latencies(cost, lambda share: percentile(counted, share))


def _latencies(cost: Cost, wait: Callable[[float], float]) -> dict[str, float]:
    return {name: 1000 * (cost.latency + wait(share)) for name, share in _SHARES.items()}


def measured(recording: Recording) -> dict[str, float]:
    """Return right answers a second, and the latencies of those that were sent in time."""
    answers = [answer for answer in recording.sent_in_time("calls") if answer.right]
    wrong = [answer for answer in recording.of("calls") if answer.status == 200 and not answer.right]
    if wrong or len(answers) < 20:
        raise TrafficFailed(f"{len(answers)} right answers, {len(wrong)} wrong ones: that tells nothing")
    begin, end = recording.traffic.warm, recording.traffic.warm + recording.traffic.seconds
    finished = sum(begin <= answer.finished < end for answer in recording.of("calls") if answer.right)
    seconds = [answer.seconds for answer in answers]
    found = {name: 1000 * percentile(seconds, share) for name, share in _SHARES.items()}
    return found | {"rate": finished / recording.traffic.seconds}


def stream(server: Server, work: Work, rate: float, arrivals: tuple[float, ...]) -> Stream:
    """Calls at certain moments, whatever becomes of those before."""
    even, _ = http_overload.flood(server, work, rate, deadline=None)
    return dataclasses.replace(even, arrivals=arrivals)
