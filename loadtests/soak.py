"""The service at 70 % of what it can do, for long: ``python -m loadtests.soak``.

load_run       a service, and Locust to ask it
soak_samples   memory, descriptors and processes, every few seconds
soak_flatness  whether they stay the same
load_charts    the picture
load_publish   a part of docs/explanation/load-test-report.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from loadtests import (
    http_capacity,
    load_charts,
    load_publish,
    load_run,
    load_shapes,
    report,
    soak_flatness,
    soak_samples,
)
from loadtests.http_report import PACKAGES, note
from loadtests.limited import limited
from loadtests.load_run import OUTPUT, LoadTestFailed
from loadtests.loadtest import CALIBRATION, FULL
from loadtests.soak_flatness import Flatness
from loadtests.soak_samples import FIGURES
from service.cpus import available_cpus

#: Seconds after which jobs that have ended are forgotten, so that the store soon comes to a steady size.
JOB_TTL = "120"
#: Part of the time that is warm-up.
WARM_UP = 0.25
MARGIN = 180
#: What was seen over time, by figure.
Columns = Mapping[str, Sequence[float]]


@click.command()
@click.option("--minutes", type=click.FloatRange(0.2), default=20, show_default=True)
@click.option("--every", type=click.FloatRange(0.5), default=5, show_default=True, help="Seconds.")
@click.option("--capacity", type=click.FloatRange(0.1), help="Tasks a second; measured, if it is not told.")
@click.option("--publish", is_flag=True, help="Write the part of the documentation that tells of this run.")
def main(*, minutes: float, every: float, capacity: float | None, publish: bool) -> None:
    """Ask for the mix at 70 % of the capacity, and watch what the service takes.

    A service is started on a free port. Samples and the chart are written to var/loadtest/. The status is 1
    when memory, descriptors or processes grow, or an objective of loadtests/slo.toml was missed.
    """
    seconds, cores = 60 * minutes, available_cpus()
    users = load_shapes.full_load(FULL, cores)
    before = http_capacity.cores_worth()
    with limited(MARGIN + int(seconds)), load_run.served(SERVICE_JOB_TTL=JOB_TTL) as server:
        if capacity is None:
            capacity = load_run.capacity(server.url, users, CALIBRATION, ())
        note(f"capacity: {capacity:.1f} tasks/s; {load_shapes.SOAK:.0%} of it for {minutes:g} minutes")
        with soak_samples.watching(server.processes, every) as samples:
            status = load_run.shaped(
                server.url, "soak", seconds, users_per_core=FULL, cores=cores, pace=capacity / users
            )
    worth = load_publish.worth(before, http_capacity.cores_worth())
    times = [sample.at for sample in samples]
    columns = {name: [getattr(sample, name) for sample in samples] for name in FIGURES}
    soak_samples.write(samples, OUTPUT / "soak.csv")
    # Where it has not even begun there is nothing to judge, and Locust says why.
    objectives = load_run.objectives("soak")
    judged = _judged(times, columns, WARM_UP * seconds)
    pictures = _draw(times, columns)
    heading = report.heading(report.machine(), report.versions(PACKAGES))
    said = (
        f"{capacity * load_shapes.SOAK:.1f} tasks/s, {load_shapes.SOAK:.0%} of the capacity, for {minutes:g}"
        f" minutes; {len(samples)} samples, {WARM_UP:.0%} of the time for warm-up."
    )
    table = f"{soak_flatness.text(judged)}\n\n{objectives.rstrip()}"
    click.echo("\n".join([*heading, worth, said, "", table]))
    for path in (OUTPUT / "soak.csv", *pictures, OUTPUT / f"soak{load_run.HTML}"):
        click.echo(f"written: {path}")
    if publish:
        _publish([load_publish.origin("soak", heading, worth), said], table, pictures)
    sys.exit(status or int(not all(each.flat for each in judged)))


def _publish(heading: Sequence[str], table: str, pictures: Sequence[Path]) -> None:
    picture = "![Processes, descriptors and memory over time](soak-chart.svg)"
    lines = [*heading, "", picture, "", "```text", table, "```"]
    load_publish.publish("soak", lines, [path for path in pictures if path.suffix == ".svg"])
    click.echo(f"published: {load_publish.PAGE}")


def _judged(times: Sequence[float], columns: Columns, warm_up: float) -> list[Flatness]:
    try:
        return [soak_flatness.judge(name, times, values, warm_up) for name, values in columns.items()]
    except ValueError as error:
        raise LoadTestFailed(str(error)) from None


def _draw(times: Sequence[float], columns: Columns) -> list[Path]:
    labels = {"rss": "RSS, MB", "pss": "PSS, MB"}
    named = {labels.get(name, name): values for name, values in columns.items()}
    return load_charts.in_rows(times, named, OUTPUT / "soak-chart", "all processes of the service")


if __name__ == "__main__":
    main()
