"""Figures and advice as text for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from service.cli.advise.advice import Advice
from service.cli.advise.figures import Engine, Figures, Machine, Spread, Task, Web
from service.cli.advise.model import speed_up
from service.cli.advise.units import count, seconds, size

_WIDTH = 100
#: From this share on of the time, or this many processes beside each CPU, figures are not to be trusted.
_CONTENDED, _LOAD = 0.1, 0.5


def as_json(figures: Figures, advice: Sequence[Advice]) -> dict[str, Any]:
    """Return everything, ready for JSON: seconds, bytes, and numbers."""
    return {
        **dataclasses.asdict(figures),
        "warnings": list(_warnings(figures)),
        "advice": [dataclasses.asdict(each) for each in advice],
    }


def as_text(figures: Figures, advice: Sequence[Advice]) -> str:
    """Return everything, for a terminal."""
    parts = [_section("this machine", _machine(figures.machine)), _section("a call", _engine(figures.engine))]
    web = _web(figures.web) if figures.web is not None else [("not measured", figures.web_missing or "")]
    parts.append(_section("a request", web))
    if figures.task is not None:
        parts.append(_section(figures.task.name, _task(figures.task)))
    parts.append("\n".join(["advice", *(line for each in advice for line in _advice(each))]))
    parts += [textwrap.fill(f"note: {warning}", _WIDTH) for warning in _warnings(figures)]
    return "\n\n".join(parts)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in rows)
    return "\n".join([title, *(f"  {label:<{width}}  {value}" for label, value in rows)])


def _machine(machine: Machine) -> list[tuple[str, str]]:
    quota = "no quota" if machine.quota is None else f"quota {machine.quota:g}"
    limit = "no limit of a cgroup" if machine.memory_limit is None else f"limit {size(machine.memory_limit)}"
    return [
        ("CPUs", f"{machine.usable} (of {machine.cpus}; affinity {machine.affinity}, {quota})"),
        ("memory", f"{size(machine.available)} available of {size(machine.memory)}, {limit}"),
        ("load", f"{machine.load:.2f}"),
    ]


def _engine(engine: Engine) -> list[tuple[str, str]]:
    rows = [
        ("round trip", _spread(engine.round_trip)),
        ("first process", seconds(engine.first)),
        ("map of no-ops", f"{count(engine.map_rate)} items/s"),
        (f"array of {size(engine.array_size)}", f"{size(engine.array_rate)}/s"),
    ]
    if engine.another is not None:
        rows.insert(2, ("one more process", seconds(engine.another)))
    return rows


def _web(web: Web) -> list[tuple[str, str]]:
    return [("round trip", _spread(web.request)), ("CPU of the worker", seconds(web.cpu))]


def _task(task: Task) -> list[tuple[str, str]]:
    result = "no form in JSON" if task.result_json is None else f"{size(task.result_json)} in the answer"
    rows = [
        ("run", f"{_spread(task.run)}; the first in a process {seconds(task.first)}"),
        ("CPU share", f"{task.share:.0%}"),
        ("beside the run", seconds(task.overhead)),
        (
            "memory",
            f"{size(task.own_memory)} of its own, grew by {size(task.growth)}, peak {size(task.peak)}",
        ),
        ("arguments", f"{size(task.arguments_size)}; {size(task.request_json)} in the request"),
        ("result", f"{size(task.result_size)}; {result}"),
    ]
    for pace in task.paces:
        slots = f"{pace.slots} CPU slot" + "s" * (pace.slots > 1) if task.cpu else f"{pace.width} processes"
        fast = speed_up(pace, task.run.median)
        took = f"{pace.items} in {seconds(pace.wall)}, {count(pace.rate)}/s, {fast:.2f} x"
        rows.append((f"map, {slots}", f"{took}; a call runs {seconds(pace.run)}"))
    return rows


def _spread(spread: Spread) -> str:
    return (
        f"{seconds(spread.median)} (least {seconds(spread.least)}, p95 {seconds(spread.p95)},"
        f" most {seconds(spread.most)}; {spread.count} calls)"
    )


def _advice(advice: Advice) -> Iterator[str]:
    name = f"{advice.subject} ({advice.name})" if advice.name else advice.subject
    yield from textwrap.wrap(f"{name}: {advice.text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
    yield from textwrap.wrap(
        f"because {advice.because}", _WIDTH, initial_indent="      ", subsequent_indent="      "
    )


def _warnings(figures: Figures) -> Iterator[str]:
    machine, task = figures.machine, figures.task
    if machine.load > _LOAD * machine.usable:
        yield (
            f"the load was {machine.load:.2f} when measuring began, on {machine.usable} CPUs: something else"
            " runs, and on a quiet machine times are shorter"
        )
    if task is not None and task.contended > _CONTENDED:
        yield f"others had the CPU for {task.contended:.0%} of the time that the task ran"
    if task is not None and not task.paces:
        yield "no time was left for maps: how calls go beside each other is a guess; give more --seconds"
    elif task is not None and task.cpu and len(task.paces) > 1 and task.paces[-1].slots < machine.usable:
        yield f"no time was left to measure with more than {task.paces[-1].slots} CPU slots"
