"""The formula of capacity planning beside a real service: ``python -m loadtests.bench_capacity``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from loadtests import capacity_levels, http_capacity, http_report
from loadtests import report as common
from loadtests.http_drive import warm_up
from loadtests.http_overload import calls
from loadtests.http_report import note
from loadtests.http_servers import service
from loadtests.limited import limited
from loadtests.report import Json
from service.cpus import available_cpus

#: CPU seconds of a call: long beside what a request costs, short enough for many of them.
CALL = 0.03
#: What is offered, of the capacity.
SHARES = (0.4, 0.6, 0.8, 0.9, 1.1)
#: All that may be offered has a thread, in which it waits.
THREADS = "128"
#: Seconds after which a run is given up, beyond those that it was told to take.
MARGIN = 120


@click.command()
@click.option("--seconds", type=click.FloatRange(2, 120), default=12, show_default=True, help="Of each rate.")
@http_capacity.call_option(CALL)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the moments at which requests come.")
@common.json_option
def main(*, seconds: float, call: float, seed: int, path: Path | None) -> None:
    """Offer several rates, at random moments, and print what was predicted beside what was measured.

    On a busy machine the service has less of the CPUs than the formula reckons with.
    """
    with limited(MARGIN + int(3 * len(SHARES) * seconds)):
        report = run(seconds, call, seed)
    common.publish(text(report), report, path)


def run(seconds: float, call: float, seed: int, shares: Sequence[float] = SHARES) -> Json:
    """Measure, and return the report."""
    clock = http_report.Clock()
    cpus = available_cpus()
    work = http_capacity.calibrate(min(seconds, 3.0), call)
    with service(SERVICE_WEB_THREADS=THREADS) as server:
        warm_up(calls(server, work, users=1))
        cost = capacity_levels.cost(server, work, cpus, seconds / 2)
        levels = []
        for number, share in enumerate(shares):
            levels.append(capacity_levels.level(server, work, cost, share, seconds, seed + number))
            note(f"{share:.0%} done")
    return {
        "machine": common.machine(),
        "versions": common.versions(http_report.PACKAGES),
        "options": clock.options(seconds=seconds, call=call, seed=seed),
        "cost": dataclasses.asdict(cost) | {"capacity": cost.capacity},
        "levels": [finite(dataclasses.asdict(level)) for level in levels],
    }


def finite(level: Json) -> Json:
    """JSON has no infinity: what the formula has no figure for is null."""
    predicted = {name: value if math.isfinite(value) else None for name, value in level["predicted"].items()}
    return level | {"predicted": predicted}


def text(report: Json) -> str:
    """Return the table for a terminal."""
    cost = report["cost"]
    said = (
        f"a request: {1000 * cost['latency']:.1f} ms alone; CPU {1000 * cost['service_cpu']:.1f} ms of the"
        f" service and {1000 * cost['generator_cpu']:.1f} of the load generator; {cost['cpus']} CPUs"
        f" / that = {cost['capacity']:.1f} requests/s"
    )
    rows = [*_titles(), *map(_row, report["levels"])]
    return "\n".join([*http_report.heading(report), said, "", *common.aligned(rows)])


def _titles() -> Iterator[list[str]]:
    yield ["of", "", "requests/s", "", "p50, ms", "", "", "p95, ms", "", "", "", "CPUs", ""]
    groups = [["predicted", "measured"], *[["predicted", "ideal", "measured"]] * 2]
    yield [
        "capacity",
        "offered/s",
        *(title for group in groups for title in group),
        "refused",
        "generator",
        "others",
    ]


def _row(level: Json) -> list[str]:
    predicted, ideal, measured = level["predicted"], level["ideal"], level["measured"]
    cells = [predicted["rate"], measured["rate"]]
    for name in ("p50", "p95"):
        cells += [predicted[name], ideal[name], measured[name]]
    return [
        f"{level['share']:.0%}",
        f"{level['offered']:.1f}",
        *(f"{value:.1f}" if value is not None else "grows" for value in cells),
        str(level["refused"]),
        f"{level['generator_cpu']:.2f}",
        f"{level['others_cpu']:.2f}",
    ]


if __name__ == "__main__":
    main()
