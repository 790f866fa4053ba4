"""Figures of a machine and a task that were never measured."""

import dataclasses
from typing import Any

from service.cli.advise.figures import Engine, Figures, Machine, Pace, Spread, Task, Web

MACHINE = Machine(
    cpus=8,
    affinity=4,
    quota=4.5,
    usable=4,
    load=0.1,
    memory=16 << 30,
    available=8 << 30,
    memory_limit=None,
)
ENGINE = Engine(
    first=0.3,
    another=0.012,
    round_trip=Spread.of([0.00005, 0.00006, 0.00009]),
    map_rate=100_000.0,
    array_rate=5e9,
    array_size=8_000_000,
)
WEB = Web(request=Spread.of([0.0008]), cpu=0.0008)
TASK = Task(
    name="work",
    cpu=1,
    timeout=30.0,
    first=0.012,
    run=Spread.of([0.010] * 98 + [0.020] * 2),
    share=1.0,
    contended=0.0,
    overhead=0.0002,
    own_memory=15 << 20,
    growth=5 << 20,
    peak=60 << 20,
    arguments_size=30,
    result_size=20,
    request_json=10,
    result_json=8,
    json=0.00002,
    paces=(
        Pace(1, 1, 100, 1.002, 0.010),
        Pace(2, 2, 200, 1.010, 0.010),
        Pace(4, 4, 400, 1.050, 0.0104),
    ),
)


def figures(*, web: Web | None = WEB, machine: Machine = MACHINE, **task: Any) -> Figures:
    """Return figures of the task above, with something else in it."""
    return Figures(machine, ENGINE, web, None if web else "no time", dataclasses.replace(TASK, **task))


def without_task(**machine: Any) -> Figures:
    """Return figures of a machine alone, with something else in it."""
    return Figures(dataclasses.replace(MACHINE, **machine), ENGINE, WEB)
