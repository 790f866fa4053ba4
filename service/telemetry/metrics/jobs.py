"""Metrics of jobs: what runners and clients do to them, and how the store stands when Prometheus asks.

runner ──each step──> started(), ended() ─┐
web ──> accepted(), finished() ───────────┴─> counters, histograms
store ──> a look, cached ──> Standing ──> StandingCollector ─> gauges, at the scrape

Whatever is counted here is on the disk already: who is killed may have counted too little, never too much.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.telemetry.metrics.histogram import LONG_SECONDS, Histogram
from service.telemetry.metrics.registry import REGISTRY

ACCEPTED = Counter("everycore_jobs_accepted_total", "Jobs that were submitted.", ["task"], registry=REGISTRY)
FINISHED = Counter(
    "everycore_jobs_finished_total", "Jobs that came to an end.", ["task", "state"], registry=REGISTRY
)
ATTEMPTS = Counter(
    "everycore_job_attempts_total", "Attempts of jobs that ended.", ["task", "outcome"], registry=REGISTRY
)
LAG = Histogram(
    "everycore_job_lag_seconds",
    "Seconds from a job's being due to the start of its first attempt.",
    ["task"],
    buckets=LONG_SECONDS,
    registry=REGISTRY,
)
RUN = Histogram(
    "everycore_job_run_seconds",
    "Seconds that an attempt took which ended by itself, at a limit or by a crash.",
    ["task"],
    buckets=LONG_SECONDS,
    registry=REGISTRY,
)
LEASE_LOSSES = Counter(
    "everycore_job_lease_losses_total", "Jobs taken from runners that lost their lease.", registry=REGISTRY
)
REFUSED = Counter(
    "everycore_job_results_refused_total",
    "Late results that were refused.",
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "everycore_webhook_deliveries_total",
    "Attempts to deliver a webhook's message.",
    ["outcome"],
    registry=REGISTRY,
)
for _outcome in ("delivered", "retried", "given-up"):
    # There from the start, at 0: Prometheus sees no increase in a series that begins with 1.
    DELIVERIES.labels(_outcome)


class End(NamedTuple):
    """How one attempt ended."""

    task: str
    #: ``succeeded``, ``cancelled``, ``given-back``, ``runner-lost`` or the slug of a problem.
    outcome: str
    #: The state in which the job is for good; ``None`` when it is to be run again.
    state: str | None
    #: Seconds that it ran; ``None`` when nobody knows.
    seconds: float | None


def accepted(tasks: Iterable[str]) -> None:
    """Count jobs that were submitted, each by the name of its task."""
    for task, number in Counts(tasks).items():
        ACCEPTED.labels(task).inc(number)


def started(lags: Iterable[tuple[str, float]]) -> None:
    """Count first attempts that were started: tasks, and seconds since they were due."""
    _observe(LAG, lags)


def ended(ends: Iterable[End]) -> None:
    """Count attempts that ended, and the jobs that ended with them."""
    ends = tuple(ends)
    for (task, outcome), number in Counts((end.task, end.outcome) for end in ends).items():
        ATTEMPTS.labels(task, outcome).inc(number)
    finished((end.task, end.state) for end in ends if end.state is not None)
    _observe(RUN, ((end.task, end.seconds) for end in ends if end.seconds is not None))


def finished(jobs: Iterable[tuple[str, str]]) -> None:
    """Count jobs that ended, by task and state; of those that ran, ``ended`` knows already."""
    for (task, state), number in Counts(jobs).items():
        FINISHED.labels(task, state).inc(number)


def leases_lost(jobs: int) -> None:
    """Count jobs that were taken from a runner which lost its lease."""
    LEASE_LOSSES.inc(jobs)


def refused(results: int) -> None:
    """Count late results."""
    REFUSED.inc(results)


def delivery_tried(outcome: str) -> None:
    """Count an attempt to deliver a message: ``delivered``, ``retried`` (later) or ``given-up``."""
    DELIVERIES.labels(outcome).inc()


def _observe(histogram: Histogram, found: Iterable[tuple[str, float]]) -> None:
    values: dict[str, list[float]] = defaultdict(list)
    for task, seconds in found:
        values[task].append(max(0.0, seconds))
    for task, each in values.items():
        histogram.labels(task).observe_all(each)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the store stands."""

    runners: int
    running: int
    #: Age of the oldest job that is due, in seconds; 0 when none is.
    oldest: float
    #: Jobs that are due, and that will be; ``None`` while they are being counted for the first time.
    queued: int | None = None
    scheduled: int | None = None


class StandingCollector(Collector):
    """Tells how the store stands when it is asked; of a store that is away, only that."""

    def __init__(self, look: Callable[[], Standing | None]) -> None:
        """``look`` returns ``None`` when the store can't be used, and never takes long."""
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Return the gauges."""
        found = self._look()
        yield _gauge("everycore_store_up", "1 when the store of jobs can be used.", int(found is not None))
        if found is None:
            return
        yield _gauge("everycore_runners", "Runners with a lease.", found.runners)
        yield _gauge(
            "everycore_jobs_oldest_queued_seconds", "Age of the oldest job that is due.", found.oldest
        )
        jobs = GaugeMetricFamily("everycore_jobs", "Jobs that have not ended.", labels=["state"])
        states = {"queued": found.queued, "scheduled": found.scheduled, "running": found.running}
        for state, number in states.items():
            if number is not None:
                jobs.add_metric([state], number)
        yield jobs


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
