"""Channels beside other queues between processes, in one run: ``python -m loadtests.bench_channel``.

bench_channel   what to measure, and the whole in order
channel_turns   items and bytes a second: peers take turns
channel_deaths  what a process takes along that is killed
channel_workers the processes at the ends
--------------  figures by peer
channel_report  one table, the goals, JSON

The peers are in ``channel_peers``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import click

from loadtests import channel_deaths, channel_report, channel_turns, channel_workers
from loadtests.channel_peers import PEERS
from loadtests.channel_plan import FULL, QUICK, Plan
from loadtests.http_report import Clock, note
from loadtests.limited import limited
from loadtests.report import Json, json_option, publish

#: Seconds after which a run is given up, whatever it does.
RUN_LIMIT = 600


@click.command()
@click.option("--quick", is_flag=True, help="Few repetitions: rougher figures.")
@click.option("--rounds", type=click.IntRange(1, 50), help=f"Turns of each. [default: {FULL.rounds}]")
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="Only these. [repeatable]"
)
@json_option
def main(*, quick: bool, rounds: int | None, peers: Sequence[str], path: Path | None) -> None:
    """Measure channels and their peers; print one table and the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    plan = QUICK if quick else FULL
    plan = dataclasses.replace(plan, rounds=rounds or plan.rounds)
    report = run(tuple(dict.fromkeys(peers)) or tuple(PEERS), plan)
    publish(channel_report.text(report), report, path)


def run(names: Sequence[str], plan: Plan) -> Json:
    """Measure those peers, and return the report."""
    clock = Clock()
    with limited(RUN_LIMIT):
        channel_workers.preload()
        timed = channel_turns.measure(names, plan, note)
        words = channel_deaths.measure(names, plan, note)
    samples = {name: timed[name] | words[name] for name in names}
    return channel_report.document(samples, plan, clock.options(**dataclasses.asdict(plan)))


if __name__ == "__main__":
    main()
