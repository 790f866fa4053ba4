"""Whether what was measured over time stays the same. Knows neither Locust nor processes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from loadtests.report import aligned, cell

#: Points that a slope is made of at least.
LEAST = 6


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a figure may grow over the time that is judged: the larger of both."""

    share: float
    amount: float
    unit: str = ""


BOUNDS = {
    "processes": Bound(0.05, 2),
    "descriptors": Bound(0.05, 10),
    "rss": Bound(0.05, 20, "MB"),
    "pss": Bound(0.05, 10, "MB"),
}


@dataclass(frozen=True, slots=True)
class Flatness:
    """What is to be said of one figure."""

    name: str
    unit: str
    median: float
    #: Least, most, and by how much it grows over the time that is judged.
    least: float
    most: float
    growth: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether it grows by no more than it may. Falling is no fault."""
        return self.growth <= self.allowed


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the growth a second: the median of the slopes between all pairs of points (Theil and Sen).

    A few points that are far off, such as those of a process that is just being replaced, change it little.
    """
    pairs = combinations(zip(times, values, strict=True), 2)
    return statistics.median(
        (later - earlier) / (end - begin) for (begin, earlier), (end, later) in pairs if end > begin
    )


def judge(name: str, times: Sequence[float], values: Sequence[float], warm_up: float) -> Flatness:
    """Judge what was measured after the warm-up; raise ``ValueError`` where that is too little."""
    kept = [(time, value) for time, value in zip(times, values, strict=True) if time >= warm_up]
    if len(kept) < LEAST:
        raise ValueError(f"{len(kept)} samples after {warm_up:g} s of warm-up; {LEAST} are needed")
    late, figures = zip(*kept, strict=True)
    bound, median = BOUNDS[name], statistics.median(figures)
    return Flatness(
        name,
        bound.unit,
        median,
        min(figures),
        max(figures),
        slope(late, figures) * (late[-1] - late[0]),
        max(bound.share * median, bound.amount),
    )


def text(judged: Sequence[Flatness]) -> str:
    """Return a table with one row for each figure."""
    rows = [["", "", "median", "least", "most", "grows by", "allowed", ""]]
    for each in judged:
        figures = map(cell, (each.median, each.least, each.most))
        growth = f"{each.growth:+.3g}"
        rows.append(
            [each.name, each.unit, *figures, growth, cell(each.allowed), "flat" if each.flat else "GROWS"]
        )
    return "\n".join(aligned(rows))
