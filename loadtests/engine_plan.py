"""How much ``bench_engine`` measures."""

from __future__ import annotations

from dataclasses import dataclass

#: A figure, or a word for what happened.
Value = float | str
#: By peer and figure: what was measured each time.
Samples = dict[str, dict[str, list[Value]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and sizes; the defaults are those of a full run."""

    processes: int = 2
    #: Rounds of what is timed side by side.
    rounds: int = 7
    #: Rounds of what is measured in fresh processes.
    fresh_rounds: int = 3
    #: Round trips a round.
    calls: int = 500
    #: Items of a map that sends each in a message of its own.
    items: int = 2000
    #: Items of a map in chunks.
    chunked_items: int = 30_000
    fan_outs: int = 15
    small_arrays: int = 7
    large_arrays: int = 1
    #: Megabytes of a large array.
    large: int = 32
    #: Deadlines passed in each fresh process, in pure Python and in C code.
    deadlines: int = 1
    #: Processes killed in each fresh process.
    kills: int = 2


#: What ``--quick`` measures.
QUICK = Plan(
    rounds=2, fresh_rounds=1, calls=100, items=500, chunked_items=10_000, fan_outs=5, small_arrays=2, kills=1
)
