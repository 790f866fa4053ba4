"""The course of a Locust run, from its CSV history. Nothing here knows Locust, so tests can import it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

#: Rows that stand for all requests together.
ALL = "Aggregated"
#: Seconds at the beginning of a step that do not count: users are still coming.
SETTLE = 3
#: Rows that a step has at least, one for each second.
LEAST = SETTLE + 2
_PERCENTILES = ("50%", "95%", "99%")
_COLUMNS = ("Timestamp", "User Count", "Name", *_PERCENTILES, "Total Request Count", "Total Failure Count")


class BadHistory(ValueError):
    """The file is not what Locust writes, or has too few lines."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of a run."""

    #: Seconds since the epoch.
    at: int
    users: int
    #: So far.
    asked: int
    failed: int
    #: Milliseconds, over the last ten seconds or so; ``None`` before there are any.
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers a second."""

    answered: float
    good: float


@dataclass(frozen=True, slots=True)
class Step:
    """A time in which the number of users stayed the same."""

    users: int
    rate: Rate
    p50: float
    p95: float
    p99: float


def read(path: Path) -> list[Moment]:
    """Return the seconds of a run; raise ``BadHistory``."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if missing := sorted(set(_COLUMNS) - set(rows.fieldnames or ())):
            raise BadHistory(f"{path} has no column {missing[0]!r}")
        moments = [_moment(row) for row in rows if row["Name"] == ALL]
    if len(moments) < LEAST:
        raise BadHistory(f"{path} has {len(moments)} seconds; {LEAST} are needed to tell anything")
    return moments


def _moment(row: dict[str, str]) -> Moment:
    p50, p95, p99 = (None if row[name] == "N/A" else float(row[name]) for name in _PERCENTILES)
    at, users, asked, failed = (int(row[name]) for name in ("Timestamp", "User Count", *_COLUMNS[-2:]))
    return Moment(at, users, asked, failed, p50, p95, p99)


def rate(moments: Sequence[Moment]) -> Rate:
    """Return the answers a second between the first and the last of these moments."""
    first, last = moments[0], moments[-1]
    seconds = last.at - first.at
    if seconds <= 0:
        return Rate(0.0, 0.0)
    answered = last.asked - first.asked
    return Rate(answered / seconds, (answered - (last.failed - first.failed)) / seconds)


def steps(moments: Sequence[Moment]) -> list[Step]:
    """Return the steps of a run that were long enough to tell something, in their order."""
    groups = [list(group) for _, group in groupby(moments, key=lambda moment: moment.users)]
    return [_step(group) for group in groups if group[0].users and len(group) >= LEAST]


def _step(group: Sequence[Moment]) -> Step:
    last = group[-1]
    return Step(last.users, rate(group[SETTLE:]), last.p50 or 0.0, last.p95 or 0.0, last.p99 or 0.0)


def good_by_second(moments: Sequence[Moment]) -> list[tuple[int, float]]:
    """Return the right answers of each second, with the seconds since the beginning."""
    begun = moments[0].at
    return [
        (later.at - begun, rate([earlier, later]).good)
        for earlier, later in pairwise(moments)
        if later.at > earlier.at
    ]
