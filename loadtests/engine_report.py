"""What came out of ``bench_engine``: figures, goals, one table, one JSON document."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from loadtests import report as common
from loadtests.engine_peers import PEERS, Everycore, Futures, RawPipe
from loadtests.engine_plan import Plan, Samples, Value
from loadtests.engine_turns import CHUNK, FAN_OUT

Json = common.Json


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    #: May name a field of the plan.
    label: str
    unit: str = ""


FIGURES = (
    Figure("round_trip_p50", "round trip of a no-op, p50", "µs"),
    Figure("round_trip_p99", "round trip of a no-op, p99", "µs"),
    Figure("map", "map of no-ops as it comes, an item", "µs"),
    Figure("map_in_chunks", f"map of no-ops, chunksize={CHUNK}, an item", "µs"),
    Figure("fan_out", f"fan-out of {FAN_OUT} no-ops", "µs"),
    Figure("array_small", "1 MB of float64 x, x*2 back", "ms"),
    Figure("array_large", "{large} MB of float64 x, x*2 back", "ms"),
    Figure("array_first", "the same, first time in a process", "ms"),
    Figure("bytes_large", "{large} MB of bytes there and back", "ms"),
    Figure("first_start", "start: first process answers", "ms"),
    Figure("next_start", "start: next process answers", "ms"),
    Figure("overrun_python", "deadline overrun, pure Python", "ms"),
    Figure("overrun_c", "deadline overrun, C code with the GIL", "ms"),
    Figure("replacement", "SIGKILL: next call is answered after", "ms"),
    Figure("killed_call", "SIGKILL: the call that ran"),
    Figure("neighbours", "SIGKILL: its neighbours' calls"),
    Figure("memory", "memory of an idle process, PSS", "MB"),
    Figure("memory_of_helpers", "memory of its helpers, PSS", "MB"),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of Everycore's, by itself or as a multiple of a peer's, that shall not be higher."""

    figure: str
    limit: float
    against: str = ""

    def value(self, samples: Samples) -> float | None:
        """Return the median, or the median of the ratios within each round; ``None`` if not measured."""
        mine = samples.get(Everycore.name, {}).get(self.figure, [])
        if self.against:
            theirs = samples.get(self.against, {}).get(self.figure, [])
            # Within a round both saw the same machine.
            mine = [_number(a) / _number(b) for a, b in zip(mine, theirs, strict=False)]
        return statistics.median(map(_number, mine)) if mine else None


GOALS = (
    Goal("round_trip_p50", 2.0, RawPipe.name),
    Goal("round_trip_p50", 0.35, Futures.name),
    Goal("map", 10.0),
    Goal("array_large", 0.15, Futures.name),
    Goal("overrun_python", 50.0),
    Goal("overrun_c", 50.0),
    Goal("memory", 15.0),
)


def _number(value: Value) -> float:
    assert not isinstance(value, str)
    return value


def document(samples: Samples, plan: Plan, options: Json) -> Json:
    """Return everything there is to know about a run, ready for JSON."""
    return {
        "machine": common.machine(),
        "versions": common.versions(["numpy", *(name.lower() for name in samples)]),
        "options": options,
        "figures": {figure.key: {"label": _label(figure, plan), "unit": figure.unit} for figure in FIGURES},
        "peers": {name: _peer(name, figures) for name, figures in samples.items()},
        "goals": [_judged(goal, samples, plan) for goal in GOALS],
    }


def _peer(name: str, figures: dict[str, list[Value]]) -> Json:
    return {
        "start_method": PEERS[name].start_method,
        "results": {key: _summary(values) for key, values in figures.items()},
    }


def _summary(values: list[Value]) -> Json:
    words = [value for value in values if isinstance(value, str)]
    if words:
        return {"value": " or ".join(sorted(set(words))), "samples": words}
    return common.summary([_number(value) for value in values])


def _judged(goal: Goal, samples: Samples, plan: Plan) -> Json:
    value = goal.value(samples)
    figure = next(figure for figure in FIGURES if figure.key == goal.figure)
    return {
        "goal": _label(figure, plan),
        "against": goal.against or None,
        "unit": "times" if goal.against else figure.unit,
        "limit": goal.limit,
        "value": value if value is None else round(value, 3),
        "reached": value if value is None else value <= goal.limit,
    }


def _label(figure: Figure, plan: Plan) -> str:
    return figure.label.format(large=plan.large)


def text(report: Json) -> str:
    """Return the table and the goals for a terminal."""
    lines = [
        *common.heading(report["machine"], report["versions"]),
        f"{report['options']['processes']} processes each; medians over rounds in which peers take turns",
        "",
        *_table(report),
        "",
        *_goals(report["goals"]),
    ]
    return "\n".join(lines)


def _table(report: Json) -> Iterator[str]:
    peers = report["peers"]
    rows = [["", "", *peers], ["start method", "", *(peer["start_method"] for peer in peers.values())]]
    for key, figure in report["figures"].items():
        results = [peer["results"].get(key, {}).get("value") for peer in peers.values()]
        rows.append([figure["label"], figure["unit"], *map(common.cell, results)])
    yield from common.aligned(rows)


def _goals(goals: list[Json]) -> Iterator[str]:
    rows = [["goal", "", "limit", "value", ""]]
    for goal in goals:
        unit = f"x {goal['against']}" if goal["against"] else goal["unit"]
        verdict = common.verdict(reached=goal["reached"])
        rows.append([goal["goal"], unit, f"<= {goal['limit']:g}", common.cell(goal["value"]), verdict])
    yield from common.aligned(rows)
