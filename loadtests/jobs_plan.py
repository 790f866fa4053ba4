"""How much ``bench_jobs`` measures."""

from __future__ import annotations

from dataclasses import dataclass

#: What one turn has measured: rates have one value, times one for each job.
Figures = dict[str, list[float]]
#: By contender.
Samples = dict[str, Figures]


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts and times; the defaults are those of a full run."""

    turns: int = 3
    #: Jobs of a backlog.
    jobs: int = 5000
    #: Seconds for which jobs are submitted one by one.
    seconds: float = 2.0
    #: Batches of each size.
    batches: int = 4
    #: Seconds for which the workers are watched at a backlog; who needs longer leaves a rest.
    watch: float = 8.0
    #: Jobs a turn at low load.
    single_jobs: int = 70
    #: Seconds from one of them to the next.
    gap: float = 0.05


FULL = Plan()
#: What ``--quick`` measures.
QUICK = Plan(turns=1, jobs=500, seconds=0.5, batches=1, watch=2.0, single_jobs=15)
