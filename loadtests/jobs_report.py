"""What came out of ``bench_jobs``: figures, goals, one table, one JSON document."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtests import http_report, jobs_disk
from loadtests import report as common
from loadtests.http_answers import percentile
from loadtests.jobs_contenders import EVERYCORE, ONE_SLOT, PEERS
from loadtests.jobs_everycore import CLIENTS
from loadtests.jobs_plan import Samples
from loadtests.jobs_programs import find_postgres, find_redis
from loadtests.jobs_queue import Contender
from loadtests.report import Json

PACKAGES = ("celery", "gunicorn", "huey", "psycopg", "redis", "rq")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    #: What was measured.
    key: str
    label: str
    unit: str
    #: The part of the values that is at most as large as the figure.
    share: float = 0.5

    @property
    def name(self) -> str:
        """What it is called in JSON."""
        return f"{self.key}_p{self.share * 100:.0f}" if self.unit == "ms" else self.key

    def value(self, values: Sequence[float]) -> float | None:
        """Return the figure of all that was measured; ``None`` if nothing was."""
        if not values:
            return None
        return statistics.median(values) if self.share == 0.5 else percentile(values, self.share)


def _times(key: str, label: str) -> tuple[Figure, Figure]:
    return Figure(key, f"{label}, p50", "ms"), Figure(key, f"{label}, p99", "ms", 0.99)


FIGURES = (
    Figure("together", f"accepted one by one, {CLIENTS} clients", "jobs/s"),
    Figure("one_by_one", "accepted one by one, one client", "jobs/s"),
    Figure("batches_1000", "accepted in batches of 1000", "jobs/s"),
    Figure("batches_10000", "accepted in batches of 10 000", "jobs/s"),
    Figure("completed", "no-ops completed under a backlog", "jobs/s"),
    *_times("accept", "low load: sent to accepted"),
    *_times("claimed", "low load: accepted to claimed"),
    *_times("start", "low load: accepted to start of the task"),
    *_times("ended", "low load: accepted to final state"),
    *_times("done", "low load: accepted to end seen by client"),
)


@dataclass(frozen=True, slots=True)
class Goal(http_report.Figure):
    """What a median of Everycore's shall be, by itself or as a multiple of a peer's."""

    contender: str = EVERYCORE
    against: str = ""

    def value(self, samples: Samples) -> float | None:
        """Return the median, or the median of the ratios within each turn; ``None`` if not measured."""
        mine = samples.get(self.contender, {}).get(self.key, [])
        if self.against:
            theirs = samples.get(self.against, {}).get(self.key, [])
            # Within a turn both saw the same machine.
            mine = [a / b for a, b in zip(mine, theirs, strict=False)]
        return statistics.median(mine) if mine else None


GOALS = (
    Goal("together", "accepted one by one over HTTP", "jobs/s", at_least=500),
    Goal("batches_10000", "accepted in batches", "jobs/s", at_least=10_000),
    Goal("completed", "completed under a backlog", "jobs/s", at_least=1000),
    Goal("completed", "completed under a backlog", "jobs/s", at_least=1000, contender=ONE_SLOT),
    Goal("start", "accepted to start at low load, p50", "ms", at_most=20),
    Goal("start", "accepted to start at low load, p50", "ms", at_most=20, contender=ONE_SLOT),
    *(Goal("completed", "completed", f"x {peer}", at_least=1, against=peer) for peer in PEERS),
)


def document(
    contenders: Sequence[Contender], samples: Samples, options: Json, disk: Json, lacking: Mapping[str, str]
) -> Json:
    """Return everything there is to know about a run, ready for JSON."""
    return {
        "machine": common.machine(),
        "disk": disk,
        "versions": common.versions(PACKAGES) | programs(),
        "options": options,
        "figures": {figure.name: {"label": figure.label, "unit": figure.unit} for figure in FIGURES},
        "contenders": {
            contender.name: {
                "store": contender.store,
                "processes": contender.processes,
                "results": _results(samples.get(contender.name, {})),
                "samples": samples.get(contender.name, {}),
            }
            for contender in contenders
        },
        "left_out": dict(lacking),
        "goals": [_judged(goal, samples) for goal in GOALS],
    }


def _results(figures: Mapping[str, Sequence[float]]) -> Json:
    values = {figure.name: figure.value(figures.get(figure.key, [])) for figure in FIGURES}
    return {name: round(value, 3) for name, value in values.items() if value is not None}


def _judged(goal: Goal, samples: Samples) -> Json:
    value = goal.value(samples)
    return {
        "goal": goal.label,
        "contender": goal.contender,
        "unit": goal.unit,
        "limit": goal.limit,
        "value": value if value is None else round(value, 3),
        "reached": value if value is None else goal.reached(value),
    }


def programs() -> dict[str, str]:
    """Return the versions of the databases."""
    found = {"SQLite": sqlite3.sqlite_version}
    if redis := find_redis():
        found["redis-server"] = _version(redis).split("v=")[1].split()[0]
    if postgres := find_postgres():
        found["PostgreSQL"] = _version(str(postgres / "postgres")).split(")")[1].split()[0]
    return found


def _version(program: str) -> str:
    return subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout


def text(report: Json) -> str:
    """Return the table and the goals for a terminal."""
    lines = [
        *common.heading(report["machine"], report["versions"]),
        jobs_disk.said(report["disk"]),
        ", ".join(f"{name} {value:g}" for name, value in report["options"].items()),
        "",
        *_table(report),
        *(f"left out: {name}: {why}" for name, why in report["left_out"].items()),
        "",
        *_goals(report["goals"]),
    ]
    return "\n".join(lines)


def _table(report: Json) -> Iterator[str]:
    contenders = report["contenders"]
    rows = [
        ["", "", *contenders],
        ["store", "", *(contender["store"] for contender in contenders.values())],
        ["processes", "", *(str(contender["processes"]) for contender in contenders.values())],
    ]
    for name, figure in report["figures"].items():
        results = [contender["results"].get(name) for contender in contenders.values()]
        if any(result is not None for result in results):
            cells = ("-" if result is None else common.cell(result) for result in results)
            rows.append([figure["label"], figure["unit"], *cells])
    yield from common.aligned(rows)


def _goals(goals: Sequence[Json]) -> Iterator[str]:
    rows = [["goal", "", "", "limit", "value", ""]]
    for goal in goals:
        verdict = common.verdict(reached=goal["reached"])
        value = common.cell(goal["value"])
        rows.append([goal["goal"], goal["contender"], goal["unit"], goal["limit"], value, verdict])
    yield from common.aligned(rows)
