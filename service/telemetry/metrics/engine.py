"""What becomes of calls and of pool processes, and how busy the machine is.

    a run's thread ──> RunMetrics: plain numbers ──at its end, or once a second──> the metrics, in the folder

A call may take no longer than a few microseconds; to write one number to the folder takes one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.telemetry.metrics.histogram import Histogram
from service.telemetry.metrics.registry import REGISTRY, role

CALLS = Counter(
    "everycore_calls_total", "Calls that have ended.", ["role", "task", "outcome"], registry=REGISTRY
)
QUEUE_SECONDS = Histogram(
    "everycore_call_queue_seconds",
    "Seconds from being taken in to being started, of calls that were.",
    ["role", "task"],
    registry=REGISTRY,
)
RUN_SECONDS = Histogram(
    "everycore_call_run_seconds",
    "Seconds from start to end, of calls that were started.",
    ["role", "task"],
    registry=REGISTRY,
)
CPU_SECONDS = Counter(
    "everycore_call_cpu_seconds_total",
    "CPU seconds that calls took, unless their process died.",
    ["role", "task"],
    registry=REGISTRY,
)
PROCESSES = Gauge(
    "everycore_pool_processes",
    "Pool processes that there are.",
    ["role"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
STARTS = Counter(
    "everycore_pool_process_starts_total", "Pool processes that were started.", ["role"], registry=REGISTRY
)
ENDS = Counter(
    "everycore_pool_process_ends_total",
    "Pool processes that have ended, and why.",
    ["role", "reason"],
    registry=REGISTRY,
)
TRANSPORT = Counter(
    "everycore_transport_bytes_total",
    "Bytes of arguments sent to pool processes, and of results received.",
    ["role", "direction"],
    registry=REGISTRY,
)

#: Seconds, and calls, after which a long run tells how far it is.
WRITE_AGAIN, WRITE_AT_MOST = 1.0, 10_000

#: Of a call: pid, and when it was taken in, was started and ended; its CPU seconds.
Timing = tuple[int, float, float, float, float]


class Load(NamedTuple):
    """How busy the machine is."""

    #: Calls that may compute at once, and how many do.
    slots: int
    used: int
    #: Runs that wait for a first process.
    waiting: int
    #: Seconds that one more call would wait.
    backlog: float


class LoadCollector(Collector):
    """Tells how busy the machine is when it is asked."""

    def __init__(self, look: Callable[[], Load]) -> None:
        """``look`` never takes long."""
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Return the gauges."""
        found = self._look()
        yield GaugeMetricFamily("everycore_cpu_slots", "Calls that may compute at once.", found.slots)
        yield GaugeMetricFamily("everycore_cpu_slots_used", "CPU slots that are taken.", found.used)
        yield GaugeMetricFamily("everycore_runs_waiting", "Runs that wait to begin.", found.waiting)
        yield GaugeMetricFamily(
            "everycore_backlog_seconds", "Seconds that one more call would wait now.", found.backlog
        )


# To look them up by their labels takes as long as to count.


@functools.cache
def _calls(role: str, task: str, outcome: str) -> Counter:
    return CALLS.labels(role, task, outcome)


@functools.cache
def _times(role: str, task: str) -> tuple[Histogram, Histogram, Counter]:
    return QUEUE_SECONDS.labels(role, task), RUN_SECONDS.labels(role, task), CPU_SECONDS.labels(role, task)


class EngineMetrics:
    """Counts what an engine tells; any thread may use it."""

    def __init__(self) -> None:
        """Count for the role that this process has now."""
        self._role = role()
        self._processes = PROCESSES.labels(self._role)
        self._starts = STARTS.labels(self._role)
        self._sent = TRANSPORT.labels(self._role, "sent")
        self._received = TRANSPORT.labels(self._role, "received")

    def begin_run(self) -> RunMetrics:
        """Return what counts for one run."""
        return RunMetrics(self)

    def process_started(self) -> None:
        """Count a new pool process."""
        self._processes.inc()
        self._starts.inc()

    def process_ended(self, reason: str) -> None:
        """Count the end of one."""
        self._processes.dec()
        ENDS.labels(self._role, reason).inc()

    def add_outcomes(self, task: str, outcome: str, count: int) -> None:
        """Count calls of a task that ended alike."""
        _calls(self._role, task, outcome).inc(count)

    def add_times(self, task: str, times: Times) -> None:
        """Count what calls of a task took."""
        queue, run, cpu = _times(self._role, task)
        queue.observe_all(times.queue)
        run.observe_all(times.run)
        cpu.inc(times.cpu)

    def add_bytes(self, sent: int, received: int) -> None:
        """Count bytes."""
        self._sent.inc(sent)
        self._received.inc(received)


class Times:
    """What calls of one task took, in seconds, and was not written yet."""

    __slots__ = ("cpu", "queue", "run")

    def __init__(self) -> None:
        """Begin with no calls."""
        self.queue: list[float] = []
        self.run: list[float] = []
        self.cpu = 0.0

    def add(self, timings: Sequence[Timing]) -> None:
        """Take some more in."""
        queue, run = self.queue.append, self.run.append
        for _, queued, started, finished, cpu in timings:
            queue(started - queued)
            run(finished - started)
            self.cpu += cpu


class RunMetrics:
    """Counts for one run; only its thread uses it."""

    __slots__ = ("_metrics", "_outcomes", "_received", "_sent", "_times", "_write_at")

    def __init__(self, metrics: EngineMetrics) -> None:
        """Write to ``metrics``."""
        self._metrics = metrics
        self._outcomes: dict[tuple[str, str], int] = {}
        self._times: dict[str, Times] = {}
        self._sent = self._received = 0
        # Unknown before the first call has ended, so as not to have to ask for the time.
        self._write_at: float | None = None

    def ended(self, task: str, outcome: str, timings: Sequence[Timing]) -> None:
        """Count calls that ended alike."""
        kind = task, outcome
        self._outcomes[kind] = self._outcomes.get(kind, 0) + len(timings)
        if not timings[0][0]:
            return  # they never ran
        times = self._times.get(task)
        if times is None:
            times = self._times[task] = Times()
        times.add(timings)
        now = timings[-1][3]
        if self._write_at is None:
            self._write_at = now + WRITE_AGAIN
        elif now >= self._write_at or len(times.run) >= WRITE_AT_MOST:
            self.over()

    def refused(self, task: str, outcome: str) -> None:
        """Count one call for a run that ended before its other calls did."""
        kind = task, outcome
        self._outcomes[kind] = self._outcomes.get(kind, 0) + 1

    def carried(self, sent: int, received: int) -> None:
        """Count bytes."""
        self._sent += sent
        self._received += received

    def over(self) -> None:
        """Write it all down."""
        for (task, outcome), count in self._outcomes.items():
            self._metrics.add_outcomes(task, outcome, count)
        for task, times in self._times.items():
            self._metrics.add_times(task, times)
        if self._sent or self._received:
            self._metrics.add_bytes(self._sent, self._received)
        self._outcomes, self._times = {}, {}
        self._sent = self._received = 0
        self._write_at = None
