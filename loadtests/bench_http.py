"""The service beside its peers over HTTP, in one run: ``python -m loadtests.bench_http``.

bench_http     what to measure, and the whole in order
http_turns     no-ops, fan-out, throughput, /healthz: Locust asks, the service and its peers take turns
http_map       a long map: a plain connection asks
-------------  figures
http_report    one table with the goals, JSON
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from loadtests import http_capacity, http_map, http_report, http_turns
from loadtests.http_capacity import Work
from loadtests.http_report import Figure, Samples, note
from loadtests.http_turns import Figures
from loadtests.limited import limited
from loadtests.report import Json, json_option

FIGURES = (
    Figure("noop", "no-op task", "requests/s"),
    Figure("empty", "empty Flask endpoint", "requests/s"),
    Figure("noop_to_empty", "no-op task beside empty endpoint", "x", at_least=0.6),
    Figure("noop_cpu", "no-op task, CPU time of the servers", "µs/request"),
    Figure("empty_cpu", "empty Flask endpoint, the same", "µs/request"),
    Figure("fan_out", "4 small sums: map", "requests/s"),
    Figure("pattern", "4 small sums: a pool per request, as in the samples", "requests/s"),
    Figure("kept", "4 small sums: a kept ProcessPoolExecutor", "requests/s"),
    Figure("fan_out_to_pattern", "4 small sums beside a pool per request", "x", at_least=20),
    Figure("fan_out_to_kept", "4 small sums beside a kept executor", "x", at_least=1.3),
    Figure("fan_out_cpu", "4 small sums: map, CPU time", "µs/request"),
    Figure("pattern_cpu", "4 small sums: a pool per request, CPU time", "µs/request"),
    Figure("kept_cpu", "4 small sums: a kept executor, CPU time", "µs/request"),
    Figure("cores", "100 ms of CPU: plain processes, one a core", "calls/s"),
    Figure("served", "100 ms of CPU: the service", "calls/s"),
    Figure("served_to_cores", "100 ms of CPU: the service beside the cores", "x", at_least=0.95),
    Figure("health_p99", "/healthz at 4 x overload, p99", "ms", at_most=50),
    Figure("health_failed", "/healthz at 4 x overload, not answered in 2.5 s", "%"),
    Figure("health_goodput", "good answers within 1 s meanwhile", "calls/s"),
    Figure("map_json", "map of no-ops, JSON, an item", "µs"),
    Figure("map_ndjson", "map of no-ops, NDJSON, an item", "µs"),
    Figure("map_json_first", "map, JSON: first byte of the answer", "ms"),
    Figure("map_ndjson_first", "map, NDJSON: first byte of the answer", "ms"),
    Figure("map_json_pss_before", "worker before a map, JSON, PSS", "MB"),
    Figure("map_json_pss_peak", "worker during it, PSS at most", "MB"),
    Figure("map_json_rss_growth", "worker during it, RSS grew by at most", "MB"),
    Figure("map_ndjson_pss_before", "worker before a map, NDJSON, PSS", "MB"),
    Figure("map_ndjson_pss_peak", "worker during it, PSS at most", "MB"),
    Figure("map_ndjson_rss_growth", "worker during it, RSS grew by at most", "MB"),
)

PARTS = ("noop", "fan-out", "throughput", "health", "map")
#: Seconds after which a run is given up, beyond those that it was told to take.
MARGIN = 400


@click.command()
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.5, show_default=True, help="A turn.")
@click.option("--turns", type=click.IntRange(1, 50), default=3, show_default=True, help="Of each contender.")
@click.option(
    "--items", type=click.IntRange(10, 1_000_000), default=100_000, show_default=True, help="Of the map."
)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only these. [repeatable]")
@json_option
def main(*, seconds: float, turns: int, items: int, parts: Sequence[str], path: Path | None) -> None:
    """Measure the service and its peers over HTTP; print one table with the goals.

    The status is 0 whether or not the goals were reached, for a busy machine misses some.
    """
    with limited(MARGIN + int(20 * seconds * turns)):
        report = run(seconds, turns, items, parts or PARTS)
    http_report.publish(report, path)


def run(seconds: float, turns: int, items: int, parts: Sequence[str]) -> Json:
    """Measure, and return the report."""
    clock = http_report.Clock()
    samples: Samples = {}
    for part in parts:
        for number, figures in enumerate(_turns(part, seconds, turns, items), 1):
            note(f"{part}: {number} done")
            http_report.add(samples, figures)
    options = clock.options(seconds=seconds, turns=turns, items=items)
    measured = [figure for figure in FIGURES if figure.key in samples or figure.limit]
    return http_report.document(measured, samples, options)


def _turns(part: str, seconds: float, turns: int, items: int) -> Iterator[Figures]:
    def work() -> Work:
        return http_capacity.calibrate(seconds)

    measures: dict[str, Callable[[], Iterator[Figures]]] = {
        "noop": lambda: http_turns.noop(seconds, turns),
        "fan-out": lambda: http_turns.fan_out(seconds, turns),
        "throughput": lambda: http_turns.throughput(work(), 2 * seconds, turns),
        "health": lambda: http_turns.health(work(), 2 * seconds, turns),
        "map": lambda: http_map.measure(items, turns),
    }
    return measures[part]()


if __name__ == "__main__":
    main()
