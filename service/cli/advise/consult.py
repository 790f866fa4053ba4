"""All advice that there is on what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from service.cli.advise import model, of_calls, of_sizes
from service.cli.advise.advice import Advice, Case
from service.cli.advise.figures import Figures
from service.cli.advise.units import count, seconds
from service.settings import Settings


def consult(figures: Figures, settings: Settings) -> list[Advice]:
    """Return what the figures say."""
    if figures.task is None:
        return list(_of_machine(figures))
    return list(_of_task(Case(figures, figures.task, settings)))


def _of_machine(figures: Figures) -> Iterator[Advice]:
    cpus, start, each = figures.machine.usable, figures.engine.round_trip.median, 1 / figures.engine.map_rate
    yield of_sizes.slots_of_machine(figures)
    least = start + 2 * each
    because = f"round trip {seconds(start)}, {seconds(each)} an item of a map, {cpus} CPUs"
    if cpus > 1:
        text = f"Two calls that compute are sooner done at once when each takes {seconds(least)} or more."
        yield Advice("parallel", None, least, text, because)
    else:
        text = "Calls that compute are not sooner done at once: there is one CPU."
        yield Advice("parallel", None, None, text, because)
    if figures.web is not None:
        rate = model.CPU_SHARE / figures.web.cpu
        yield Advice(
            "requests",
            None,
            rate,
            f"Plan with at most {count(rate)} requests/s for each web worker, whatever the tasks do.",
            f"{seconds(figures.web.cpu)} of CPU a request; a worker's Python has one CPU, of which"
            f" {model.CPU_SHARE:.0%} are planned with",
        )


def _of_task(case: Case) -> Iterator[Advice]:
    yield of_calls.declared_cpu(case)
    yield of_calls.timeout(case)
    yield of_calls.parallel(case)
    yield of_calls.chunk(case)
    capacity = of_sizes.capacity_of(case)
    yield of_sizes.requests(case, capacity)
    yield of_sizes.slots(case)
    yield of_sizes.processes(case)
    yield of_sizes.memory(case)
    if case.figures.web is not None:
        yield from of_sizes.web(case, capacity)
