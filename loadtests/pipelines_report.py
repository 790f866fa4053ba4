"""What came out of ``bench_pipelines``: figures, goals, one table, one JSON document."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtests import http_report
from loadtests import report as common
from loadtests.pipelines_cases import EVEN
from loadtests.pipelines_plan import Samples
from loadtests.pipelines_tasks import MOST_STAGES, WIDTHS
from loadtests.pipelines_ways import ALONE, PIPELINE, WAYS
from loadtests.report import Json


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    #: May name a field of the plan.
    label: str
    unit: str


def _time(microseconds: int) -> str:
    return f"{microseconds} µs" if microseconds < 1000 else f"{microseconds // 1000} ms"


FIGURES = (
    Figure("burn", "stages of 1, 5 and 1 ms of CPU", "items/s"),
    Figure("burn_busy", "the slowest of them had work in hand", "% of time"),
    Figure("wait", "stages that wait for 1, 5 and 1 ms", "items/s"),
    Figure("wait_busy", "the slowest of them had work in hand", "% of time"),
    *(
        Figure(f"{order}_{width}", f"0 to 10 ms of waiting, {width} processes, {words}", "items/s")
        for width in WIDTHS
        for order, words in (("ordered", "in order"), ("unordered", "in any order"))
    ),
    *(
        Figure(f"noops_{count}", f"no-op through {count} stage{'s' * (count > 1)}, an item", "µs")
        for count in range(1, MOST_STAGES + 1)
    ),
    Figure("noops_mean", "a third of three stages", "µs"),
    Figure("noops_slope", "each further stage", "µs"),
    Figure("first_warm", "first result: all processes there", "ms"),
    Figure("first_grown", "first result: one process there", "ms"),
    Figure("first_cold", "first result: nothing there", "ms"),
    Figure("arrays", "arrays of {megabytes} MB through two stages", "GB/s"),
    *(Figure(f"even_{each}", f"three stages of {_time(each)} of CPU", "items/s") for each in EVEN),
    Figure("mixed", "5 ms of waiting, 5 ms of CPU, 5 ms of waiting", "items/s"),
)


@dataclass(frozen=True, slots=True)
class Goal(http_report.Figure):
    """What a median of the pipeline's shall be, by itself or as a multiple of another way's."""

    against: str = ""

    def value(self, samples: Samples) -> float | None:
        """Return the median, or the median of the ratios within each turn; ``None`` if not measured."""
        mine = samples.get(PIPELINE, {}).get(self.key, [])
        if self.against:
            theirs = samples.get(self.against, {}).get(self.key, [])
            # Within a turn both saw the same machine.
            mine = [a / b for a, b in zip(mine, theirs, strict=False)]
        return statistics.median(mine) if mine else None


GOALS = (
    Goal("burn", "1, 5 and 1 ms of CPU", f"x {ALONE}", at_least=0.9, against=ALONE),
    Goal("wait", "waits of 1, 5 and 1 ms", f"x {ALONE}", at_least=0.9, against=ALONE),
    Goal("noops_mean", "no-op, an item and stage, with everything", "µs", at_most=30),
    Goal("noops_slope", "no-op, an item and further stage", "µs", at_most=30),
    Goal("first_warm", "first result, all processes there", "ms", at_most=50),
)


def document(samples: Samples, options: Json) -> Json:
    """Return everything there is to know about a run, ready for JSON."""
    return {
        "machine": common.machine(),
        "versions": common.versions(["numpy"]),
        "options": options,
        "figures": {
            figure.key: {"label": figure.label.format(**options), "unit": figure.unit} for figure in FIGURES
        },
        "ways": {
            way: {key: common.summary(values) for key, values in samples.get(way, {}).items()} for way in WAYS
        },
        "goals": [_judged(goal, samples) for goal in GOALS],
    }


def _judged(goal: Goal, samples: Samples) -> Json:
    value = goal.value(samples)
    return {
        "goal": goal.label,
        "unit": goal.unit,
        "limit": goal.limit,
        "value": value if value is None else round(value, 3),
        "reached": value if value is None else goal.reached(value),
    }


def text(report: Json) -> str:
    """Return the table and the goals for a terminal."""
    lines = [
        *common.heading(report["machine"], report["versions"]),
        ", ".join(f"{name} {value:g}" for name, value in report["options"].items()),
        "",
        *_table(report),
        "",
        *_goals(report["goals"]),
    ]
    return "\n".join(lines)


def _table(report: Json) -> Iterator[str]:
    ways = report["ways"]
    rows = [["", "", *ways]]
    for key, figure in report["figures"].items():
        results = [way.get(key, {}).get("value") for way in ways.values()]
        cells = ("-" if result is None else common.cell(result) for result in results)
        rows.append([figure["label"], figure["unit"], *cells])
    yield from common.aligned(rows)


def _goals(goals: Sequence[Json]) -> Iterator[str]:
    rows = [["goal", "", "limit", "value", ""]]
    for goal in goals:
        verdict = common.verdict(reached=goal["reached"])
        rows.append([goal["goal"], goal["unit"], goal["limit"], common.cell(goal["value"]), verdict])
    yield from common.aligned(rows)
