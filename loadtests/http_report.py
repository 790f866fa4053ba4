"""What came out of the load tests over HTTP: one table of figures beside their limits, and JSON."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from loadtests import report as common
from loadtests.report import Json

#: By figure: one value a turn.
Samples = dict[str, list[float]]

PACKAGES = ("gunicorn", "flask", "locust")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    label: str
    unit: str = ""
    #: What the median shall at most be, or at least; none of both where there is no goal.
    at_most: float | None = None
    at_least: float | None = None

    @property
    def limit(self) -> str:
        """The goal in short."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return "" if self.at_least is None else f">= {self.at_least:g}"

    def reached(self, value: float) -> bool:
        """Tell whether a value is within the limits there are."""
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )


class Clock:
    """When a run began, and how busy the machine was then."""

    def __init__(self) -> None:
        """Begin now."""
        self._begun = time.monotonic()
        self._load = os.getloadavg()[0]

    def options(self, **options: float) -> Json:
        """Return what a run was told, and how it was."""
        seconds = round(time.monotonic() - self._begun, 1)
        return options | {"took": seconds, "load_before": round(self._load, 2)}


def add(samples: Samples, figures: dict[str, float]) -> None:
    """Add the figures of one turn."""
    for key, value in figures.items():
        samples.setdefault(key, []).append(value)


def document(figures: Sequence[Figure], samples: Samples, options: Json) -> Json:
    """Return everything there is to know about a run, ready for JSON."""
    return {
        "machine": common.machine(),
        "versions": common.versions(PACKAGES),
        "options": options,
        "figures": [_judged(figure, samples.get(figure.key, [])) for figure in figures],
    }


def _judged(figure: Figure, values: Sequence[float]) -> Json:
    said: Json = {
        "key": figure.key,
        "label": figure.label,
        "unit": figure.unit,
        "limit": figure.limit or None,
        "reached": None,
        "value": None,
    }
    if not values:
        return said
    reached = figure.reached(statistics.median(values)) if figure.limit else None
    return said | common.summary(values) | {"reached": reached}


def text(report: Json) -> str:
    """Return the table for a terminal."""
    return "\n".join([*heading(report), "", *_table(report["figures"])])


def heading(report: Json) -> list[str]:
    """Return the lines above the table: where it was measured, and what the run was told."""
    options = ", ".join(f"{name} {value:g}" for name, value in report["options"].items())
    return [*common.heading(report["machine"], report["versions"]), options]


def _table(figures: Sequence[Json]) -> Iterator[str]:
    rows = [["", "", "measured", "least", "most", "goal", ""]]
    for figure in figures:
        samples = figure.get("samples", [])
        spread = [common.cell(min(samples)), common.cell(max(samples))] if samples else ["", ""]
        verdict = common.verdict(reached=figure["reached"]) if figure["limit"] else ""
        measured = common.cell(figure["value"])
        rows.append([figure["label"], figure["unit"], measured, *spread, figure["limit"] or "", verdict])
    yield from common.aligned(rows)


def publish(report: Json, path: Path | None) -> None:
    """Print the table, and write the document if there is a path for it."""
    common.publish(text(report), report, path)


def note(text: str) -> None:
    """Tell how far it has come."""
    click.echo(text, err=True)
