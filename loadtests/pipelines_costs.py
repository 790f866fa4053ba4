"""What a pipeline costs beside the work of its stages: for an item, for a start, for a large array."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from loadtests import pipelines_by_hand as by_hand
from loadtests import pipelines_tasks as tasks
from loadtests import pipelines_ways as ways
from loadtests.pipelines_cases import expect
from loadtests.pipelines_tasks import MOST_STAGES
from loadtests.pipelines_ways import BY_HAND, PIPELINE, Bench, Measure

#: Stages after the producer, where nothing else is said.
STAGES = 3


def no_ops(bench: Bench) -> dict[str, float]:
    """Microseconds an item of no-ops through one stage and more."""
    count = bench.plan.noops
    return _overhead(
        lambda stages: ways.values(bench.engines.pipeline(f"bench.noops_{stages}", n=count)), count
    )


def queued_no_ops(bench: Bench) -> dict[str, float]:
    """Microseconds an item of the same, built by hand."""
    count = bench.plan.noops
    return _overhead(lambda stages: by_hand.run(tasks.numbers, {"n": count}, [tasks.noop] * stages), count)


def _overhead(run: Callable[[int], Iterator[int]], count: int) -> dict[str, float]:
    each = {}
    for stages in range(1, MOST_STAGES + 1):
        begun = time.perf_counter()
        results = list(run(stages))
        each[stages] = (time.perf_counter() - begun) / count * 1e6
        expect(results, range(count))
    return {f"noops_{stages}": took for stages, took in each.items()} | {
        "noops_mean": each[STAGES] / STAGES,
        "noops_slope": statistics.linear_regression(list(each), list(each.values())).slope,
    }


def starts(bench: Bench) -> dict[str, float]:
    """Milliseconds to a first result when all processes are there, one of them, and nothing."""
    warm = [_first(lambda: ways.values(ways.no_ops(bench.engines.whole))) for _ in range(bench.plan.starts)]
    with ways.engine(STAGES + 1, 1) as engine:
        cold = _first(lambda: ways.values(ways.no_ops(engine)))
    with ways.engine(STAGES + 1, 1) as engine:
        ways.call(engine)
        grown = _first(lambda: ways.values(ways.no_ops(engine)))
    return {"first_warm": statistics.median(warm), "first_grown": grown, "first_cold": cold}


def starts_by_hand(bench: Bench) -> dict[str, float]:
    """Milliseconds to a first result of new processes."""
    stages = [tasks.noop] * STAGES
    took = [_first(lambda: by_hand.run(tasks.numbers, {"n": 1}, stages)) for _ in range(bench.plan.starts)]
    return {"first_cold": statistics.median(took)}


def _first(run: Callable[[], Iterator[int]]) -> float:
    begun = time.perf_counter()
    results = run()
    first = next(results)
    took = time.perf_counter() - begun
    expect([first, *results], [0])
    return took * 1e3


def arrays(bench: Bench) -> dict[str, float]:
    """Gigabytes a second of large arrays through a stage that doubles and one that looks at them."""
    args = {"count": bench.plan.arrays, "megabytes": bench.plan.megabytes}
    return {"arrays": _flow(ways.values(bench.engines.pipeline("bench.arrays", **args)), **args)}


def queued_arrays(bench: Bench) -> dict[str, float]:
    """Gigabytes a second of the same, built by hand."""
    args = {"count": bench.plan.queued_arrays, "megabytes": bench.plan.megabytes}
    return {"arrays": _flow(by_hand.run(tasks.arrays, args, [tasks.double, tasks.ends]), **args)}


def _flow(run: Iterator[float], count: int, megabytes: int) -> float:
    begun = time.perf_counter()
    results = list(run)
    took = time.perf_counter() - begun
    last = (megabytes << 17) - 1
    expect(results, [2.0 * last] * count)
    return count * (megabytes << 20) / took / 1e9


COMPARISONS: tuple[dict[str, Measure], ...] = (
    {PIPELINE: no_ops, BY_HAND: queued_no_ops},
    {PIPELINE: starts, BY_HAND: starts_by_hand},
    {PIPELINE: arrays, BY_HAND: queued_arrays},
)
