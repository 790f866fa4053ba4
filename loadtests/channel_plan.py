"""How much ``bench_channel`` measures."""

from __future__ import annotations

from dataclasses import dataclass

#: A figure, or a word for what happened.
Value = float | str
#: By peer and figure: what was measured each time.
Samples = dict[str, dict[str, list[Value]]]

#: How many items may wait, where that can be told.
FEW, MANY = 8, 1000
#: Writers, and readers, where there are several.
SEVERAL = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and sizes; the defaults are those of a full run."""

    rounds: int = 5
    #: Small items a measurement.
    items: int = 20_000
    #: Arrays a measurement.
    middle_arrays: int = 500
    large_arrays: int = 16
    #: Kilobytes and megabytes of an array.
    middle: int = 100
    large: int = 8
    #: Deaths of each kind.
    kills: int = 1
    #: Seconds after which what has not happened counts as never happening.
    patience: float = 1.0


FULL = Plan()
#: What ``--quick`` measures.
QUICK = Plan(rounds=2, items=10_000, middle_arrays=200, large_arrays=8)
