"""Service level objectives: read, judged, told. Nothing here knows Locust, so tests can import it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from loadtests.report import aligned, cell

SLO_FILE = Path(__file__).with_name("slo.toml")
#: What stands for all requests together.
TOTAL = "total"
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_OF_A_SHAPE = frozenset({"refusals", "failures", "latency"})


class BadObjectives(click.ClickException):
    """The file of objectives says something that nobody understands."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected of one scenario; ``None`` where nothing is."""

    requests: float | None = None
    failures: float | None = None
    refusals: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    goodput: float | None = None


#: Limits from below; all others are from above.
AT_LEAST = frozenset({"requests", "goodput"})
LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run has shown of one scenario."""

    requests: int
    #: Those refused, and those that failed in another way.
    refused: int
    failed: int
    #: Milliseconds by name of the percentile.
    percentiles: Mapping[str, float]
    #: Seconds that the run took.
    seconds: float

    def value(self, limit: str) -> float:
        """Return what stands beside the limit of that name."""
        if limit in PERCENTILES:
            return self.percentiles[limit]
        good = self.requests - self.refused - self.failed
        return {
            "requests": float(self.requests),
            "failures": self.failed / max(1, self.requests),
            "refusals": self.refused / max(1, self.requests),
            "goodput": good / self.seconds if self.seconds else 0.0,
        }[limit]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One limit and what was measured."""

    name: str
    limit: str
    bound: float
    value: float

    @property
    def kept(self) -> bool:
        """Whether the limit was kept."""
        return self.value >= self.bound if self.limit in AT_LEAST else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Objectives:
    """The limits of one run, by name in the statistics."""

    default: Limits
    named: Mapping[str, Limits]

    def of(self, name: str) -> Limits:
        """Return the limits of a name."""
        return self.named.get(name, self.default)

    def judge(self, measured: Mapping[str, Measured]) -> list[Verdict]:
        """Return the verdicts on all that was measured."""
        return [
            Verdict(name, limit, bound, figures.value(limit))
            for name, figures in measured.items()
            for limit in LIMITS
            if (bound := getattr(self.of(name), limit)) is not None
        ]


def read(path: Path, shape: str = "none") -> Objectives:
    """Read the limits, as they are for a shape of load; raise ``BadObjectives``."""
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadObjectives(f"{path}: {error}") from None
    _know(path, "", found, {"default", "total", "scenario", "shape"})
    eased = found.get("shape", {}).get(shape, {})
    _know(path, f"shape.{shape}", eased, _OF_A_SHAPE)
    default = found.get("default", {})
    tables = {TOTAL: found.get("total", {}), **found.get("scenario", {})}
    for name, table in {"default": default, **tables}.items():
        _know(path, name, table, frozenset(LIMITS))
    return Objectives(
        _limits(default, eased), {name: _limits(default | table, eased) for name, table in tables.items()}
    )


def _know(path: Path, where: str, table: Mapping[str, Any], known: set[str] | frozenset[str]) -> None:
    if unknown := sorted(set(table) - known):
        raise BadObjectives(f"{path}: [{where}] has {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for name, value in table.items():
        if not isinstance(value, dict) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadObjectives(f"{path}: {name} of [{where}] is to be a number, not {value!r}")


def _limits(table: Mapping[str, float], eased: Mapping[str, float]) -> Limits:
    factor = eased.get("latency", 1.0)
    values = dict(table) | {name: value for name, value in eased.items() if name != "latency"}
    return Limits(
        **{name: value * factor if name in PERCENTILES else value for name, value in values.items()}
    )


def text(verdicts: Sequence[Verdict]) -> str:
    """Return a table of all limits, the missed ones marked and named once more below."""
    rows = [["scenario", "objective", "limit", "measured", ""]]
    for verdict in verdicts:
        sign = ">=" if verdict.limit in AT_LEAST else "<="
        said = "" if verdict.kept else "MISSED"
        rows.append([verdict.name, verdict.limit, f"{sign} {cell(verdict.bound)}", cell(verdict.value), said])
    return "\n".join([*aligned(rows), "", *_missed(verdicts)])


def _missed(verdicts: Sequence[Verdict]) -> Iterator[str]:
    missed = [verdict for verdict in verdicts if not verdict.kept]
    if not missed:
        yield f"all {len(verdicts)} objectives kept"
    for verdict in missed:
        word = "below" if verdict.limit in AT_LEAST else "above"
        value, bound = cell(verdict.value), cell(verdict.bound)
        yield f"MISSED: {verdict.limit} of {verdict.name} is {value}, {word} {bound}"
