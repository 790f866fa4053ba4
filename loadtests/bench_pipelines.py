"""Pipelines beside other ways to do the same, in one run: ``python -m loadtests.bench_pipelines``.

bench_pipelines       what to measure, and the whole in order
pipelines_throughput  stages that take their time: items a second
pipelines_costs       stages that do nothing: overhead, starts, large arrays
pipelines_ways        the ways to do it, ready to run; pipelines_by_hand: one of them
pipelines_cases       items and the right answers; pipelines_tasks: the functions
--------------------  figures by way
pipelines_report      one table, the goals, JSON
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import click

from loadtests import pipelines_costs, pipelines_report, pipelines_throughput
from loadtests.http_report import Clock, note
from loadtests.limited import limited
from loadtests.pipelines_cases import cases, rounds_in_a_microsecond
from loadtests.pipelines_plan import FULL, QUICK, WARM_UP, Plan, Samples
from loadtests.pipelines_ways import Bench, Engines, Measure
from loadtests.report import Json, json_option, publish

#: Seconds after which a run is given up, whatever it does.
RUN_LIMIT = 900

COMPARISONS = (*pipelines_throughput.COMPARISONS, *pipelines_costs.COMPARISONS)


@click.command()
@click.option("--quick", is_flag=True, help="Few turns and items: under 30 s, and rougher figures.")
@click.option("--turns", type=click.IntRange(1, 50), help=f"Of each way. [default: {FULL.turns}]")
@json_option
def main(*, quick: bool, turns: int | None, path: Path | None) -> None:
    """Measure pipelines and other ways to do the same; print one table and the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    plan = QUICK if quick else FULL
    report = run(dataclasses.replace(plan, turns=turns or plan.turns))
    publish(pipelines_report.text(report), report, path)


def run(plan: Plan) -> Json:
    """Measure everything, and return the report."""
    clock = Clock()
    samples: Samples = {}
    with limited(RUN_LIMIT), ExitStack() as stack:
        rounds = rounds_in_a_microsecond()
        engines = Engines(stack)
        note("all processes start")
        measure(Bench(engines, WARM_UP, cases(WARM_UP, rounds)), 0, {})
        bench = Bench(engines, plan, cases(plan, rounds))
        for turn in range(plan.turns):
            note(f"turn {turn + 1} of {plan.turns}")
            measure(bench, turn, samples)
    return pipelines_report.document(samples, clock.options(**dataclasses.asdict(plan)))


def measure(bench: Bench, turn: int, samples: Samples) -> None:
    """Add one value of every figure; what is compared is measured one after the other."""
    for comparison in COMPARISONS:
        for way, action in _rotated(comparison, turn):
            for key, value in action(bench).items():
                samples.setdefault(way, {}).setdefault(key, []).append(value)


def _rotated(comparison: dict[str, Measure], turn: int) -> list[tuple[str, Measure]]:
    """Return all ways, of which another one begins each turn."""
    first = turn % len(comparison)
    everything = list(comparison.items())
    return everything[first:] + everything[:first]


if __name__ == "__main__":
    main()
