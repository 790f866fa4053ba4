"""Metrics of pipelines: how runs ended, and what each stage has done and waited for.

    a run's thread ──> RunMetrics ──what has come about since it told last──> counters

It tells at the end of a run, and about once a second in a long one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client import Counter

from service.telemetry.metrics.registry import REGISTRY, role

RUNS = Counter(
    "everycore_pipeline_runs_total",
    "Runs of pipelines that ended.",
    ["role", "pipeline", "outcome"],
    registry=REGISTRY,
)
ITEMS = Counter(
    "everycore_pipeline_stage_items_total",
    "Items that stages took in, passed on and left out.",
    ["role", "pipeline", "stage", "direction"],
    registry=REGISTRY,
)
SECONDS = Counter(
    "everycore_pipeline_stage_seconds_total",
    "Seconds that the processes of stages were busy, and waited, together.",
    ["role", "pipeline", "stage", "activity"],
    registry=REGISTRY,
)

#: Seconds between two times that a long run tells how far it is.
PERIOD = 1.0


class Stage(Protocol):
    """What is known of a stage; each number only grows."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def items_in(self) -> int:
        """Items that it took."""
        ...

    @property
    def items_out(self) -> int:
        """Items that it passed on."""
        ...

    @property
    def skipped(self) -> int:
        """Items that it left out."""
        ...

    @property
    def busy(self) -> float:
        """Seconds in which it computed; those below are for what it waited."""
        ...

    @property
    def waiting_input(self) -> float:
        """For an item."""
        ...

    @property
    def waiting_output(self) -> float:
        """For room to pass one on."""
        ...

    @property
    def waiting_slot(self) -> float:
        """For a CPU slot."""
        ...

    @property
    def waiting_turn(self) -> float:
        """For its turn, where the order of items is kept."""
        ...


class RunMetrics:
    """Counts for one run; only its thread uses it."""

    def __init__(self, pipeline: str) -> None:
        """Count nothing yet."""
        self._labels = (role(), pipeline)
        self._told: dict[tuple[Counter, str, str], float] = {}
        self._tell_at = time.monotonic() + PERIOD

    @property
    def is_due(self) -> bool:
        """Whether it should tell how far it is."""
        return time.monotonic() >= self._tell_at

    def tell(self, report: Sequence[Stage]) -> None:
        """Count what has come about since it told last."""
        self._tell_at = time.monotonic() + PERIOD
        for counter, stage, what, amount in _amounts(report):
            place = counter, stage, what
            told = self._told.get(place, 0)
            if amount > told:
                counter.labels(*self._labels, stage, what).inc(amount - told)
                self._told[place] = amount

    def ended(self, outcome: str) -> None:
        """Count the run: ``succeeded``, ``cancelled`` or the slug of a problem."""
        RUNS.labels(*self._labels, outcome).inc()


def _amounts(report: Sequence[Stage]) -> Iterator[tuple[Counter, str, str, float]]:
    for stage in report:
        yield ITEMS, stage.name, "in", stage.items_in
        yield ITEMS, stage.name, "out", stage.items_out
        yield ITEMS, stage.name, "skipped", stage.skipped
        yield SECONDS, stage.name, "busy", stage.busy
        yield SECONDS, stage.name, "waiting_input", stage.waiting_input
        yield SECONDS, stage.name, "waiting_output", stage.waiting_output
        yield SECONDS, stage.name, "waiting_slot", stage.waiting_slot
        yield SECONDS, stage.name, "waiting_turn", stage.waiting_turn
