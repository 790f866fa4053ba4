"""How much ``bench_pipelines`` measures."""

from __future__ import annotations

from dataclasses import dataclass

#: By way of doing it and figure: one value a turn.
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and sizes; the defaults are those of a full run."""

    turns: int = 7
    #: Items whose slowest stage takes 5 ms, for each process of this stage.
    slow_items: int = 100
    #: No-ops through each number of stages.
    noops: int = 8000
    #: Runs of which only the time to the first result counts.
    starts: int = 10
    #: Arrays through a pipeline, and through one that is built by hand.
    arrays: int = 60
    queued_arrays: int = 12
    #: Megabytes of an array.
    megabytes: int = 8
    #: Milliseconds that all three of the stages together compute, where they are compared with one task.
    together: int = 400


FULL = Plan()
#: What ``--quick`` measures.
QUICK = Plan(turns=2, slow_items=40, noops=3000, starts=5, arrays=20, queued_arrays=6, together=150)
#: What is done before anything counts, for all processes to be there.
WARM_UP = Plan(turns=1, slow_items=4, noops=20, starts=1, arrays=2, queued_arrays=2, together=3)
