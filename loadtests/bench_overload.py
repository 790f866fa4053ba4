"""The service under four times the load that it can bear: ``python -m loadtests.bench_overload``.

capacity of the cores ─> capacity of the service (closed loop) ─┬─> 4 x that (open loop): the service
                                                                └─> the same: the samples' pattern
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from loadtests import http_capacity, http_overload, http_report
from loadtests.http_capacity import CALL, Work
from loadtests.http_drive import drive, warm_up
from loadtests.http_overload import DEADLINE, FACTOR
from loadtests.http_peers import parts
from loadtests.http_report import Figure, Samples, note
from loadtests.http_servers import Server, peers, service
from loadtests.http_traffic import Stream
from loadtests.http_work import burn
from loadtests.limited import limited
from loadtests.report import Json, json_option
from service.cpus import available_cpus

Figures = dict[str, float]

OURS, PATTERN = "service: ", "pool per request: "
FIGURES = (
    Figure("cores", "capacity of the cores, plain processes", "calls/s"),
    Figure("capacity", "capacity of the service, closed loop", "calls/s"),
    Figure("offered", f"{OURS}offered", "calls/s"),
    Figure("goodput", f"{OURS}right and within 1 s", "calls/s"),
    Figure("goodput_to_capacity", f"{OURS}goodput beside its capacity", "x", at_least=0.9),
    Figure("good_p99", f"{OURS}good answers, p99", "ms"),
    Figure("refusal_p50", f"{OURS}503, p50", "ms", at_most=20),
    Figure("refusal_p99", f"{OURS}503, p99", "ms", at_most=20),
    Figure("retry_after", f"{OURS}503 with Retry-After", "%", at_least=100),
    Figure("probe_p99", f"{OURS}/healthz, p99", "ms", at_most=50),
    Figure("probes_failed", f"{OURS}/healthz not answered in 2.5 s", "%"),
    Figure("ok", f"{OURS}answered 200", "%"),
    Figure("refused", f"{OURS}answered 503", "%"),
    Figure("expired", f"{OURS}answered 504", "%"),
    Figure("no_answer", f"{OURS}no answer in 2.5 s", "%"),
    Figure("other", f"{OURS}answered otherwise", "%", at_most=0),
    Figure("servers_cpu", f"{OURS}CPU of all its processes", "cores"),
    Figure("generator_cpu", "CPU of the load generator", "% of a core"),
    Figure("pattern_offered", f"{PATTERN}offered", "calls/s"),
    Figure("pattern_goodput", f"{PATTERN}right and within 1 s", "calls/s"),
    Figure("pattern_goodput_to_capacity", f"{PATTERN}goodput beside the service's capacity", "x"),
    Figure("pattern_probe_p99", f"{PATTERN}an empty endpoint, p99", "ms"),
    Figure("pattern_probes_failed", f"{PATTERN}an empty endpoint not answered in 2.5 s", "%"),
    Figure("pattern_ok", f"{PATTERN}answered 200", "%"),
    Figure("pattern_no_answer", f"{PATTERN}no answer in 2.5 s", "%"),
    Figure("pattern_servers_cpu", f"{PATTERN}CPU of all its processes", "cores"),
)
#: Seconds before a flood is looked at, and after: the queue has its length, the last answers come in.
WARM, TAIL = 3.0, 3.0
#: Seconds after which a run is given up, beyond those that it was told to take.
MARGIN = 300


@click.command()
@click.option("--seconds", type=click.FloatRange(1, 120), default=6, show_default=True, help="Of each turn.")
@http_capacity.call_option(CALL)
@click.option("--turns", type=click.IntRange(1, 50), default=3, show_default=True, help="Of each contender.")
@json_option
def main(*, seconds: float, call: float, turns: int, path: Path | None) -> None:
    """Ask for four times the capacity, and see what is answered in time; print one table with the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    with limited(MARGIN + int(10 * seconds * turns)):
        report = run(seconds, turns, call)
    http_report.publish(report, path)


def run(seconds: float, turns: int, call: float = CALL) -> Json:
    """Measure, and return the report."""
    clock = http_report.Clock()
    samples: Samples = {}
    work = http_capacity.calibrate(min(seconds, 4.0), call)
    for turn in range(turns):
        for figures in _turn(work, seconds, turn):
            http_report.add(samples, figures)
        note(f"turn {turn + 1} of {turns} done")
    return http_report.document(FIGURES, samples, clock.options(seconds=seconds, turns=turns, call=call))


def _turn(work: Work, seconds: float, turn: int) -> Iterator[Figures]:
    yield {"cores": http_capacity.per_second(work.rounds, seconds / 2)}
    capacity = _capacity(work, seconds / 2)
    measures = (_service, _pattern) if turn % 2 == 0 else (_pattern, _service)
    floods = [measure(work, seconds, FACTOR * capacity) for measure in measures]
    # The machine may not be as fast as it was before.
    capacity = statistics.fmean([capacity, _capacity(work, seconds / 2)])
    yield {"capacity": capacity}
    for figures in floods:
        yield figures
        for name in ("goodput", "pattern_goodput"):
            if name in figures:
                yield {f"{name.removesuffix('goodput')}goodput_to_capacity": figures[name] / capacity}


def _capacity(work: Work, seconds: float) -> float:
    """Return the calls a second of the service when each client waits for its answer."""
    with service() as server:
        stream = http_overload.calls(server, work, users=2 * available_cpus())
        warm_up(stream)
        recording = drive([stream], seconds)
        recording.check(stream.name)
        return recording.rate(stream.name)


def _service(work: Work, seconds: float, rate: float) -> Figures:
    with service() as server:
        warm_up(http_overload.calls(server, work, users=1))
        streams = http_overload.flood(server, work, rate, deadline=DEADLINE)
        return _judged(server, streams, seconds)


def _pattern(work: Work, seconds: float, rate: float) -> Figures:
    expected = burn(parts(work.rounds)[0])
    with peers() as server:
        streams = http_overload.flood_of_pattern(server, work.rounds, expected, rate)
        figures = _judged(server, streams, seconds)
    return {f"pattern_{name}": value for name, value in figures.items()}


def _judged(server: Server, streams: Sequence[Stream], seconds: float) -> Figures:
    before = server.cpu_seconds()
    recording = drive(streams, seconds, warm=WARM, tail=TAIL)
    used = server.cpu_seconds() - before
    return http_overload.judged(recording) | {"servers_cpu": used / recording.traffic.total}


if __name__ == "__main__":
    main()
