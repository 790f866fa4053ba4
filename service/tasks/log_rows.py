"""What is told of a log."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.tasks.tallies import Tallies, Tally


@dataclass(frozen=True, slots=True)
class Example:
    """A line, cut off after 200 characters."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers in a field."""

    count: int
    sum: float
    mean: float
    min: float
    max: float
    #: Half of the numbers are up to it; at most 1 % off. ``None`` when there are too many different ones.
    p50: float | None
    p90: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """Lines with the same key."""

    #: ``None`` when they lack the field, and when the row is of several keys.
    key: str | None
    count: int
    #: Lines with a status from 500 to 599, or with a level such as error or fatal.
    errors: int
    #: ``None`` when no field was named, or none of the lines has a number there.
    value: Numbers | None


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """What is told of the whole log."""

    #: Lines that are not blank.
    lines: int
    #: Those of them in another format, which count nowhere else.
    unreadable: int
    #: The first of those.
    first_unreadable: Example | None
    #: Different keys, up to 10000.
    keys: int
    #: The most frequent keys, beginning with the most frequent one.
    rows: list[Row]
    #: All other keys together.
    others: Row | None


def rows_of(tallies: Tallies, top: int) -> tuple[list[Row], Row | None]:
    """Return the rows of the most frequent keys, of equally frequent ones by name, and one of all others."""
    ranked = sorted(tallies.by_key.items(), key=lambda entry: (-entry[1].count, entry[0] or ""))
    others = _together([tallies.others, *(tally for _, tally in ranked[top:])])
    rows = [_row(key, tally, tallies) for key, tally in ranked[:top]]
    return rows, _row(None, others, tallies) if others.count else None


def _together(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _row(key: str | None, tally: Tally, tallies: Tallies) -> Row:
    return Row(key, tally.count, tally.errors, _numbers(tally, tallies) if tally.numbers else None)


def _numbers(tally: Tally, tallies: Tallies) -> Numbers:
    percentiles = tally.percentiles(0.5, 0.9, 0.99) if tallies.has_buckets else [None] * 3
    mean = tally.total / tally.numbers
    return Numbers(tally.numbers, tally.total, mean, tally.least, tally.most, *percentiles)
