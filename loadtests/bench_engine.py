"""The engine beside its peers, in one run: ``python -m loadtests.bench_engine``.

bench_engine  what to measure, and the whole in order
engine_fresh  starts, memory, deadlines, deaths: each peer in a fresh process
engine_turns  round trips, maps, arrays: all pools at once, peers take turns
------------  figures by peer
engine_report one table, the goals, JSON

The peers are in ``engine_peers``, the functions they run in ``bench_tasks``.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from loadtests import engine_fresh, engine_report, engine_turns
from loadtests.engine_peers import PEERS
from loadtests.engine_plan import QUICK, Plan, Samples
from loadtests.limited import limited
from loadtests.report import json_option, publish

#: Seconds after which a run is given up, whatever it does.
RUN_LIMIT = 300


@click.command()
@click.option("--quick", is_flag=True, help="Few repetitions: under 20 s, and rougher figures.")
@click.option("--repeat", type=click.IntRange(1, 50), help="Rounds of what is timed side by side.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Of each pool.")
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="Only these. [repeatable]"
)
@json_option
def main(*, quick: bool, repeat: int | None, processes: int, peers: Sequence[str], path: Path | None) -> None:
    """Measure the engine and its peers; print one table and the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    plan = dataclasses.replace(QUICK if quick else Plan(), processes=processes)
    plan = dataclasses.replace(plan, rounds=repeat or plan.rounds)
    report = run(peers or list(PEERS), plan)
    publish(engine_report.text(report), report, path)


def run(names: Sequence[str], plan: Plan) -> engine_report.Json:
    """Measure those of the peers that are installed, and return the report."""
    installed = [name for name in names if PEERS[name].installed()]
    for name in set(names) - set(installed):
        _note(f"{name} is not installed and left out")
    begun, load = time.monotonic(), os.getloadavg()[0]
    with limited(RUN_LIMIT):
        samples = _joined(
            engine_fresh.measure(installed, plan, _note),
            engine_turns.measure(installed, plan, _note),
        )
    seconds = round(time.monotonic() - begun, 1)
    options = dataclasses.asdict(plan) | {"seconds": seconds, "load_before": round(load, 2)}
    return engine_report.document(samples, plan, options)


def _joined(first: Samples, second: Samples) -> Samples:
    return {name: first[name] | second[name] for name in first}


def _note(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
