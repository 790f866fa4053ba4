"""What came out of ``bench_channel``: figures, goals, one table, one JSON document."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from loadtests import http_report
from loadtests import report as common
from loadtests.channel_peers import BoundedQueue, Channel, ChannelMany, UnboundedQueue
from loadtests.channel_plan import FEW, MANY, SEVERAL, Plan, Samples, Value
from loadtests.report import Json


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    #: May name a field of the plan.
    label: str
    unit: str = ""


_BETWEEN = f"small items, {SEVERAL} writers, {SEVERAL} readers, at most {FEW} wait"
FIGURES = (
    Figure("small_few", f"small items, at most {FEW} wait", "items/s"),
    Figure("small_few_cpu", "the same, CPU time of an item", "µs"),
    Figure("small_many", f"small items, at most {MANY} wait", "items/s"),
    Figure("small_many_cpu", "the same, CPU time of an item", "µs"),
    Figure("small_several", _BETWEEN, "items/s"),
    Figure("arrays_middle", "{middle} KB of float64", "GB/s"),
    Figure("arrays_large", "{large} MB of float64", "GB/s"),
    Figure("arrays_kept", "the same, the reader keeps them", "GB/s"),
    Figure("reader_killed", "SIGKILL of a reader that waits: the others"),
    Figure("writer_killed", "SIGKILL of a writer that waits: the others"),
    Figure("last_writer_killed", "SIGKILL of the last writer: the reader is"),
)


@dataclass(frozen=True, slots=True)
class Goal(http_report.Figure):
    """What a median of the channel's shall be, as a multiple of a peer's."""

    mine: str = Channel.name
    against: str = ""

    def value(self, samples: Samples) -> float | None:
        """Return the median of the ratios within each round; ``None`` if not measured."""
        mine = samples.get(self.mine, {}).get(self.key, [])
        theirs = samples.get(self.against, {}).get(self.key, [])
        # Within a round both saw the same machine.
        ratios = [_number(a) / _number(b) for a, b in zip(mine, theirs, strict=False)]
        return statistics.median(ratios) if ratios else None


GOALS = (
    Goal("small_few", f"small items, at most {FEW} wait", at_least=3, against=BoundedQueue.name),
    Goal("small_many", f"small items, at most {MANY} wait", at_least=3, against=BoundedQueue.name),
    Goal("small_many", f"small items, at most {MANY} wait", at_least=3, against=UnboundedQueue.name),
    Goal("small_many", "small items", at_least=3, mine=ChannelMany.name, against=UnboundedQueue.name),
    Goal("arrays_large", "large arrays", at_least=5, against=BoundedQueue.name),
)


def _number(value: Value) -> float:
    assert not isinstance(value, str)
    return value


def document(samples: Samples, plan: Plan, options: Json) -> Json:
    """Return everything there is to know about a run, ready for JSON."""
    return {
        "machine": common.machine(),
        "versions": common.versions(["numpy"]),
        "options": options,
        "figures": {figure.key: {"label": _label(figure, plan), "unit": figure.unit} for figure in FIGURES},
        "peers": {name: _results(figures) for name, figures in samples.items()},
        "goals": [_judged(goal, samples) for goal in GOALS],
    }


def _label(figure: Figure, plan: Plan) -> str:
    return figure.label.format(middle=plan.middle, large=plan.large)


def _results(figures: dict[str, list[Value]]) -> Json:
    return {key: _summary(values) for key, values in figures.items()}


def _summary(values: list[Value]) -> Json:
    words = [value for value in values if isinstance(value, str)]
    if words:
        return {"value": " or ".join(sorted(set(words))), "samples": words}
    return common.summary([_number(value) for value in values])


def _judged(goal: Goal, samples: Samples) -> Json:
    value = goal.value(samples)
    return {
        "goal": goal.label,
        "peer": goal.mine,
        "against": goal.against,
        "limit": goal.limit,
        "value": value if value is None else round(value, 3),
        "reached": value if value is None else goal.reached(value),
    }


def text(report: Json) -> str:
    """Return the table and the goals for a terminal."""
    lines = [
        *common.heading(report["machine"], report["versions"]),
        "one writer and one reader where nothing else is said; medians over rounds in which peers take turns",
        "",
        *_table(report),
        "",
        *_goals(report["goals"]),
    ]
    return "\n".join(lines)


def _table(report: Json) -> Iterator[str]:
    peers = report["peers"]
    rows = [["", "", *peers]]
    for key, figure in report["figures"].items():
        values = [results.get(key, {}).get("value") for results in peers.values()]
        rows.append([figure["label"], figure["unit"], *map(common.cell, values)])
    yield from common.aligned(rows)


def _goals(goals: list[Json]) -> Iterator[str]:
    rows = [["goal", "", "limit", "value", ""]]
    for goal in goals:
        verdict = common.verdict(reached=goal["reached"])
        compared = f"{goal['peer']}, x {goal['against']}"
        rows.append([goal["goal"], compared, goal["limit"], common.cell(goal["value"]), verdict])
    yield from common.aligned(rows)
