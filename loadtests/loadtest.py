"""The service under steps of load, with charts: ``python -m loadtests.loadtest``.

loadtest       measure the capacity, offer 25 to 150 % of it, judge, draw
load_run       a service, and Locust to ask it (locustfile, scenarios/)
load_history   what Locust wrote down
-------------  figures
load_charts    PNG and SVG
load_publish   a part of docs/explanation/load-test-report.md
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from loadtests import http_capacity, load_charts, load_history, load_publish, load_run, load_shapes, report
from loadtests.http_report import PACKAGES, note
from loadtests.limited import limited
from loadtests.load_history import Step
from loadtests.load_run import OUTPUT, LoadTestFailed
from loadtests.scenarios import NAMES
from service.cpus import available_cpus

#: Users for each core that are full load, and that measure what it is: many, for some wait a second for
#: samples that sleep, but on two cores no more than the service has threads by default.
FULL = 16
CALIBRATION = 15.0
MARGIN = 180


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    #: The machine that asked, and versions.
    heading: list[str]
    #: The steps below a head; nothing, if the shape has none, nor is there a picture of them then.
    rows: list[list[str]]
    over_time: list[Path]
    by_load: list[Path]


@click.command(epilog=f"\b\nShapes:\n{load_shapes.explained()}")
@click.option("--host", help="Who is asked; without it a service is started on a free port.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(NAMES),
    help="What users do; the mix, if none is told.  [repeatable]",
)
@click.option("--shape", type=click.Choice(list(load_shapes.SHAPES)), default="steps", show_default=True)
@click.option("--seconds", type=click.FloatRange(10), default=90, show_default=True, help="Of the shape.")
@click.option(
    "--users-per-core", type=click.FloatRange(1), default=FULL, show_default=True, help="Of full load."
)
@click.option(
    "--cores", type=click.IntRange(1), default=available_cpus, help="Of the service.  [this machine's]"
)
@click.option("--capacity", type=click.FloatRange(0.1), help="Tasks a second; measured, if it is not told.")
@click.option("--publish", is_flag=True, help="Write the part of the documentation that tells of this run.")
def main(
    *,
    host: str | None,
    scenarios: tuple[str, ...],
    shape: str,
    seconds: float,
    users_per_core: float,
    cores: int,
    capacity: float | None,
    publish: bool,
) -> None:
    """Offer the service more and more, and draw what comes of it.

    100 % is what it answers to users that ask without a pause. Page, tables and charts are written to
    var/loadtest/. The status is 1 when an objective of loadtests/slo.toml was missed.
    """
    users = load_shapes.full_load(users_per_core, cores)
    told = capacity is not None
    before = http_capacity.cores_worth()
    with limited(MARGIN + int(seconds)), contextlib.ExitStack() as stack:
        url = host.rstrip("/") if host else stack.enter_context(load_run.served()).url
        if capacity is None:
            capacity = load_run.capacity(url, users, CALIBRATION, scenarios)
            note(f"capacity: {capacity:.1f} tasks/s")
        status = load_run.shaped(
            url,
            shape,
            seconds,
            users_per_core=users_per_core,
            cores=cores,
            pace=capacity / users,
            scenarios=scenarios,
        )
    worth = load_publish.worth(before, http_capacity.cores_worth())
    title = f"{'+'.join(scenarios) or 'mix'}: {shape}, 100 % is {capacity:.0f} tasks/s"
    outcome = _outcome(shape, capacity / users, capacity, title)
    click.echo("\n".join([worth, *_told(outcome)]))
    judged = load_run.objectives(shape)
    click.echo(judged)
    files = (OUTPUT / f"{shape}{end}" for end in (load_run.HTML, load_run.HISTORY))
    for path in (*outcome.over_time, *outcome.by_load, *files):
        click.echo(f"written: {path}")
    if publish:
        origin = load_publish.origin("loadtest", outcome.heading, worth, host)
        full = f"100 % are {capacity:.1f} tasks/s, {'as told' if told else 'measured right before'}."
        _publish(outcome, [origin, full], judged)
    sys.exit(status)


def _outcome(shape: str, pace: float, capacity: float, title: str) -> Outcome:
    """Read what Locust wrote, and draw."""
    course = load_run.history(shape)
    over_time = load_charts.over_time(course, OUTPUT / f"load-test-{shape}-time", title)
    steps = load_history.steps(course)
    heading = report.heading(report.machine(), report.versions(PACKAGES))
    if len(steps) < 2:
        return Outcome(heading, [], over_time, [])
    by_load = load_charts.against_offered(steps, pace, OUTPUT / f"load-test-{shape}", title)
    return Outcome(heading, _rows(steps, pace, capacity), over_time, by_load)


def _told(outcome: Outcome) -> list[str]:
    return [*outcome.heading, *(["", *report.aligned(outcome.rows), ""] if outcome.rows else [])]


def _rows(steps: Sequence[Step], pace: float, capacity: float) -> list[list[str]]:
    rows = [["load", "users", "offered/s", "answered/s", "rightly/s", "p50 ms", "p95 ms", "p99 ms"]]
    for step in steps:
        offered = step.users * pace
        figures = (offered, step.rate.answered, step.rate.good, step.p50, step.p95, step.p99)
        rows.append([f"{100 * offered / capacity:.0f} %", str(step.users), *map(report.cell, figures)])
    return rows


def _publish(outcome: Outcome, heading: Sequence[str], judged: str) -> None:
    shown = [path for path in outcome.by_load if path.suffix == ".svg"]
    if not shown:
        raise LoadTestFailed("a run without steps has nothing to publish")
    lines = [
        *heading,
        "",
        f"![Throughput and latency against offered load]({shown[0].name})",
        "",
        *load_publish.table(outcome.rows),
        "",
        *["```text", judged.rstrip(), "```"],
    ]
    load_publish.publish("loadtest", lines, shown)
    click.echo(f"published: {load_publish.PAGE}")


if __name__ == "__main__":
    main()
