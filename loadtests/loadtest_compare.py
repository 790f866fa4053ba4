"""The service beside other ways to do the same, in one picture: ``python -m loadtests.loadtest_compare``.

    service   a map of four calls
    peers     a pool for each request, as in the samples; a kept ProcessPoolExecutor; the request's own thread

All stand ready under the same Gunicorn (http_servers, http_peers) and take turns; each begins with another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from loadtests import http_capacity, http_peers, http_turns, load_charts, load_publish, report
from loadtests.http_answers import percentile
from loadtests.http_capacity import Work
from loadtests.http_drive import drive, warm_up
from loadtests.http_peers import SUMS
from loadtests.http_report import PACKAGES, note
from loadtests.http_servers import THREADS, WORKERS, Server, peers, service
from loadtests.http_traffic import Stream
from loadtests.http_work import burn, sum_of_squares
from loadtests.limited import limited
from loadtests.load_run import OUTPUT

SERVICE = "Everycore"
#: The name of each peer, and its path.
PEERS = {
    "a pool per request": "/pool_per_request",
    "a kept executor": "/kept_executor",
    "the request's thread": "/request_thread",
}
#: Clients that ask for small sums at once, and for computations.
SMALL, HEAVY = (1, 8), (1,)
#: Milliseconds of CPU that a computation takes.
CALL = 100
MARGIN = 240
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who is measured, and what is asked of them by name of the load."""

    name: str
    server: Server
    loads: dict[str, Stream]

    def turn(self, load: str, seconds: float) -> Figures:
        """Return the requests a second, the milliseconds they took, and their CPU time."""
        before = self.server.cpu_seconds()
        recording = drive([self.loads[load]], seconds, warm=0.5, tail=0.5)
        used = self.server.cpu_seconds() - before
        recording.check(load)
        times = [1000 * answer.seconds for answer in recording.sent_in_time(load)]
        return {
            "rate": recording.rate(load),
            "p50": percentile(times, 0.5),
            "p95": percentile(times, 0.95),
            "cpu": 1000 * used / len(recording.answers),
        }


#: By load and contender, the figures of each turn.
Samples = dict[str, dict[str, list[Figures]]]


@click.command()
@click.option("--seconds", type=click.FloatRange(1, 60), default=2, show_default=True, help="A turn.")
@click.option("--turns", type=click.IntRange(1, 50), default=3, show_default=True, help="Of each.")
@click.option("--publish", is_flag=True, help="Write the part of the documentation that tells of this run.")
def main(*, seconds: float, turns: int, publish: bool) -> None:
    """Compare the service with its peers under the same load, and draw it.

    The status is 0 whoever is faster; a wrong answer ends the run.
    """
    with limited(MARGIN + int(20 * seconds * turns)):
        before = http_capacity.cores_worth()
        samples = _measured(seconds, turns)
        worth = load_publish.worth(before, http_capacity.cores_worth())
    medians = {load: {name: _median(got) for name, got in by.items()} for load, by in samples.items()}
    pictures = _draw(medians, turns)
    told = report.heading(report.machine(), report.versions(PACKAGES))
    told.append(f"{WORKERS} Gunicorn workers of {THREADS} threads; medians of {turns} turns of {seconds:g} s")
    told.append(worth)
    click.echo("\n".join([*told, "", *report.aligned(_rows(medians)), ""]))
    for path in pictures:
        click.echo(f"written: {path}")
    if publish:
        _publish(told, medians, [path for path in pictures if path.suffix == ".svg"])


def _measured(seconds: float, turns: int) -> Samples:
    work = http_capacity.calibrate(2.0, CALL / 1000)
    samples: Samples = {}
    with contextlib.ExitStack() as stack:
        contenders = list(_contenders(stack, work))
        for contender in contenders:
            for stream in contender.loads.values():
                warm_up(stream)
        for turn in range(turns):
            first = turn % len(contenders)
            for load in contenders[0].loads:
                for contender in (*contenders[first:], *contenders[:first]):
                    got = samples.setdefault(load, {each.name: [] for each in contenders})
                    got[contender.name].append(contender.turn(load, seconds))
            note(f"turn {turn + 1} of {turns}")
    return samples


def _contenders(stack: contextlib.ExitStack, work: Work) -> Iterator[Contender]:
    ours, parts = stack.enter_context(service()), http_peers.parts(work.rounds)
    sums = http_turns.map_of(ours, "sum_of_squares", "n", SUMS, sum_of_squares)
    yield Contender(SERVICE, ours, _loads(sums, http_turns.map_of(ours, "burn", "rounds", parts, burn)))
    for name, path in PEERS.items():
        theirs = stack.enter_context(peers())
        sums = http_turns.of_peer(theirs, path, SUMS, sum_of_squares)
        burns = http_turns.of_peer(theirs, f"{path}/burn?rounds={work.rounds}", parts, burn)
        yield Contender(name, theirs, _loads(sums, burns))


def _loads(small: Stream, heavy: Stream) -> dict[str, Stream]:
    """Return the streams by the name of the load."""
    loads = {}
    for name, stream, levels in (
        ("4 small sums", small, SMALL),
        (f"{CALL} ms of CPU in 4 parts", heavy, HEAVY),
    ):
        for users in levels:
            load = f"{name}, {users} client{'s' * (users > 1)}"
            loads[load] = dataclasses.replace(stream, name=load, users=users)
    return loads


def _median(figures: Sequence[Figures]) -> Figures:
    return {key: statistics.median(each[key] for each in figures) for key in figures[0]}


def _rows(medians: dict[str, dict[str, Figures]]) -> list[list[str]]:
    rows = [["load", "", "requests/s", "p50 ms", "p95 ms", "CPU ms/request", "beside a pool per request"]]
    for load, contenders in medians.items():
        pattern = contenders["a pool per request"]["rate"]
        for name, figures in contenders.items():
            cells = [report.cell(figures[key]) for key in ("rate", "p50", "p95", "cpu")]
            rows.append([load, name, *cells, f"{figures['rate'] / pattern:.2f} x"])
    return rows


def _draw(medians: dict[str, dict[str, Figures]], turns: int) -> list[Path]:
    groups = [load.replace(", ", "\n") for load in medians]
    panels = {
        label: {
            name: [contenders[name][key] for contenders in medians.values()] for name in (SERVICE, *PEERS)
        }
        for label, key in (("requests/s", "rate"), ("time to the answer, p95, ms", "p95"))
    }
    title = f"The same Gunicorn ({WORKERS} workers of {THREADS} threads), medians of {turns} turns"
    return load_charts.side_by_side(groups, panels, OUTPUT / "load-test-compare", title)


def _publish(told: Sequence[str], medians: dict[str, dict[str, Figures]], pictures: Sequence[Path]) -> None:
    lines = [
        f"`{load_publish.command('loadtest-compare')}` on {'; '.join(told)}.",
        "",
        f"![The service beside its peers]({pictures[0].name})",
        "",
        *load_publish.table(_rows(medians)),
    ]
    load_publish.publish("loadtest-compare", lines, pictures)
    click.echo(f"published: {load_publish.PAGE}")


if __name__ == "__main__":
    main()
