"""The service under steps of load, with charts: ``python -m loadtests.loadtest``.

loadtest       measure the capacity, offer 25 to 150 % of it, judge, draw
load_run       a service, and Locust to ask it (locustfile, scenarios/)
load_history   what Locust wrote down
-------------  figures
load_charts    PNG and SVG
load_publish   a part of docs/explanation/load-test-report.md
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from loadtests import http_capacity, load_charts, load_history, load_publish, load_run, load_shapes, report
from loadtests.http_report import note
from loadtests.limited import limited
from loadtests.load_history import Step
from loadtests.load_run import OUTPUT, LoadTestFailed
from service.cpus import available_cpus

#: Users for each core that are full load, and that measure what it is: many, for some wait a second for
#: samples that sleep, but on two cores no more than the service has threads by default.
FULL = 16
CALIBRATION = 15.0
MARGIN = 180
PACKAGES = ("gunicorn", "flask", "locust")


@click.command(epilog=f"\b\nShapes:\n{load_shapes.explained()}")
@click.option("--host", help="Who is asked; without it a service is started on a free port.")
@click.option("--scenario", "scenarios", multiple=True, help="See the locustfile; the mix, if none is told.")
@click.option("--shape", type=click.Choice(list(load_shapes.SHAPES)), default="steps", show_default=True)
@click.option("--seconds", type=click.FloatRange(10), default=90, show_default=True, help="Of the shape.")
@click.option("--users-per-core", type=click.FloatRange(1), default=FULL, show_default=True)
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
    users = max(1, round(users_per_core * cores))
    before = http_capacity.cores_worth()
    with limited(MARGIN + int(seconds)), load_run.target(host) as target:
        if capacity is None:
            capacity = load_run.capacity(target.url, users, CALIBRATION, scenarios)
            note(f"capacity: {capacity:.1f} tasks/s")
        pace = capacity / users
        status = load_run.locust(
            target.url,
            shape,
            seconds,
            *("--shape", shape, "--shape-seconds", str(seconds), "--pace", f"{pace:g}"),
            *("--users-per-core", str(users_per_core), "--cores", str(cores)),
            *("--slo-report", str(OUTPUT / f"{shape}-slo.txt")),
            *[part for scenario in scenarios for part in ("--scenario", scenario)],
        )
    worth = load_publish.worth(before, http_capacity.cores_worth())
    title = f"{'+'.join(scenarios) or 'mix'}: {shape}, 100 % is {capacity:.0f} tasks/s"
    told, pictures = _outcome(shape, pace, capacity, title)
    click.echo("\n".join([worth, *told]))
    click.echo(_objectives(shape))
    for path in (*pictures, OUTPUT / f"{shape}.html", OUTPUT / f"{shape}_stats_history.csv"):
        click.echo(f"written: {path}")
    if publish:
        _publish(shape, pace, capacity, worth, pictures)
    sys.exit(status)


def _outcome(shape: str, pace: float, capacity: float, title: str) -> tuple[list[str], list[Path]]:
    """Return a table of the steps, if the shape has any, and draw."""
    course = load_run.history(shape)
    pictures = load_charts.over_time(course, OUTPUT / f"load-test-{shape}-time", title)
    steps = load_history.steps(course)
    heading = report.heading(report.machine(), report.versions(PACKAGES))
    if len(steps) < 2:
        return heading, pictures
    pictures += load_charts.against_offered(steps, pace, OUTPUT / f"load-test-{shape}", title)
    return [*heading, "", *report.aligned(_rows(steps, pace, capacity)), ""], pictures


def _rows(steps: Sequence[Step], pace: float, capacity: float) -> list[list[str]]:
    rows = [["load", "users", "offered/s", "answered/s", "rightly/s", "p50 ms", "p95 ms", "p99 ms"]]
    for step in steps:
        offered = step.users * pace
        figures = (offered, step.rate.answered, step.rate.good, step.p50, step.p95, step.p99)
        rows.append([f"{100 * offered / capacity:.0f} %", str(step.users), *map(report.cell, figures)])
    return rows


def _objectives(shape: str) -> str:
    try:
        return (OUTPUT / f"{shape}-slo.txt").read_text()
    except FileNotFoundError:
        said = (OUTPUT / f"{shape}.log").read_text(errors="replace")[-2000:]
        raise LoadTestFailed(f"Locust did not judge; it says:\n{said}") from None


def _publish(shape: str, pace: float, capacity: float, worth: str, pictures: Sequence[Path]) -> None:
    steps = load_history.steps(load_run.history(shape))
    shown = [path for path in pictures if path.suffix == ".svg" and not path.stem.endswith("time")]
    if not shown:
        raise LoadTestFailed(f"{shape} has no steps to publish")
    machine = "; ".join(report.heading(report.machine(), report.versions(PACKAGES)))
    command = load_publish.command("loadtest")
    lines = [
        f"`{command}` on {machine}; {worth}.",
        f"100 % are {capacity:.1f} tasks/s, measured right before.",
        "",
        f"![Throughput and latency against offered load]({shown[0].name})",
        "",
        *load_publish.table(_rows(steps, pace, capacity)),
        "",
        *["```text", _objectives(shape).rstrip(), "```"],
    ]
    load_publish.publish("loadtest", lines, shown)
    click.echo(f"published: {load_publish.PAGE}")


if __name__ == "__main__":
    main()
