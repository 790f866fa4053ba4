"""Durable jobs beside other job queues, in one run: ``python -m loadtests.bench_jobs``.

bench_jobs        what to measure, and the whole in order
jobs_contenders   who is compared, as far as it is installed
jobs_measures     low load, backlog, one by one: the same of all, who take turns
----------------  contenders
jobs_everycore    over HTTP (jobs_http); on SQLite, on PostgreSQL
jobs_huey, jobs_rq, jobs_celery
jobs_programs     workers, Redis, PostgreSQL
----------------  figures
jobs_report       one table with the goals, JSON; jobs_disk: what the stores are on
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from loadtests import jobs_disk, jobs_measures, jobs_report
from loadtests.http_report import Clock, note
from loadtests.jobs_contenders import NAMES, ready
from loadtests.jobs_everycore import MOST, Everycore
from loadtests.jobs_plan import FULL, QUICK, Figures, Plan, Samples
from loadtests.jobs_queue import Contender, Queue
from loadtests.limited import limited
from loadtests.report import Json, json_option, publish

#: Seconds after which a run is given up: for each turn of a contender, and beyond.
TURN_LIMIT, MARGIN = 90, 60


@click.command()
@click.option("--quick", is_flag=True, help="One short turn of each.")
@click.option("--turns", type=click.IntRange(1, 50), help=f"Of each contender. [default: {FULL.turns}]")
@click.option("--jobs", type=click.IntRange(100, 10 * MOST), help=f"Of a backlog. [default: {FULL.jobs}]")
@click.option("--only", "names", multiple=True, type=click.Choice(NAMES), help="Only these. [repeatable]")
@json_option
def main(
    *, quick: bool, turns: int | None, jobs: int | None, names: Sequence[str], path: Path | None
) -> None:
    """Measure durable jobs and their peers; print one table and the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    plan = QUICK if quick else FULL
    plan = dataclasses.replace(plan, turns=turns or plan.turns, jobs=jobs or plan.jobs)
    report = run(tuple(dict.fromkeys(names)) or NAMES, plan)
    publish(jobs_report.text(report), report, path)


def run(names: Sequence[str], plan: Plan) -> Json:
    """Measure those that are installed, and return the report."""
    clock = Clock()
    samples: Samples = {}
    with limited(MARGIN + TURN_LIMIT * plan.turns * len(names)), ExitStack() as stack:
        disk = jobs_disk.measure(min(plan.seconds, 1.0))
        contenders, lacking = ready(names, stack)
        for turn in range(plan.turns):
            # Each turn begins with another of them.
            first = turn % max(1, len(contenders))
            for contender in (*contenders[first:], *contenders[:first]):
                note(f"turn {turn + 1} of {plan.turns}: {contender.name}")
                mine = samples.setdefault(contender.name, {})
                for figures in measured(contender, plan):
                    for key, values in figures.items():
                        mine.setdefault(key, []).extend(values)
    return jobs_report.document(contenders, samples, clock.options(**dataclasses.asdict(plan)), disk, lacking)


def measured(contender: Contender, plan: Plan) -> Iterator[Figures]:
    """Yield the figures of each measurement of a new queue; what leaves most jobs in it comes last."""
    with (
        tempfile.TemporaryDirectory(prefix="everycore-jobs-", ignore_cleanup_errors=True) as folder,
        contender.open(Path(folder)) as queue,
    ):
        yield jobs_measures.low_load(queue, plan)
        yield jobs_measures.backlog(queue, plan)
        yield accepting(queue, plan)


def accepting(queue: Queue, plan: Plan) -> Figures:
    """Return how many jobs a second are accepted, in each of the ways that a queue has."""
    figures = jobs_measures.one_by_one(queue, plan)
    if isinstance(queue, Everycore):
        figures |= queue.together(plan) | queue.batches(plan)
    return figures


if __name__ == "__main__":
    main()
