"""How maps of copies of a call go, with one CPU slot and with more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from service.cli.advise import probes
from service.cli.advise.clock import Clock
from service.cli.advise.engine import engine_of, timings
from service.cli.advise.figures import Pace, Spread
from service.engine.base import Call
from service.engine.local import LocalEngine
from service.engine.pool import for_waiting
from service.errors import CallError
from service.settings import Settings

#: Copies if nobody says.
_MOST = 10_000
#: Seconds that a new engine takes to be there, with room for a slow start.
_START = 0.5
#: Seconds that the processes wait together to be started; longer than it takes to fork one.
_PAUSE = 0.03
#: Share of its time in which a map ends by itself, or is ended; calls that have begun by then take some more.
_ENOUGH = 0.8


def slot_counts(most: int) -> list[int]:
    """Return 1, 2, 4 and so on up to ``most``, which is among them."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def paces(
    settings: Settings, call: Call, cpu: int, seconds: float, items: int | None, clock: Clock
) -> Iterator[Pace]:
    """Yield one map after another, of ``items`` copies, or of as many as end in the time there is.

    A call takes ``seconds`` alone. With ``cpu`` 0 the slots don't count, and there is one map. None is begun
    that would hardly give a few results.
    """
    counts = slot_counts(settings.cpu_slots) if cpu else [settings.cpu_slots]
    for number, slots in enumerate(counts):
        share = clock.left / (len(counts) - number)
        # A call for each process goes before the clock runs, and two each tell something.
        if _ENOUGH * share < _START + 3 * seconds:
            return
        width = slots if cpu else for_waiting(settings.pool_processes, slots)
        clock.step(f"{call.task}: a map, {width} at a time")
        until = time.monotonic() + _ENOUGH * share
        with engine_of(settings, slots) as engine, contextlib.suppress(CallError):
            # Beside others it may take longer, or too much: what is known by then will do.
            yield _pace(engine, call, slots, width, items or _MOST, until, clock.end)


def _pace(
    engine: LocalEngine, call: Call, slots: int, width: int, items: int, until: float, end: float
) -> Pace:
    pauses = (Call(probes.PAUSE, {"seconds": _PAUSE}, index) for index in range(width))
    timings(engine, pauses, end)
    timings(engine, (Call(call.task, call.args, index) for index in range(width)), end)
    runs: list[float] = []
    begun = time.monotonic()
    copies = (Call(call.task, call.args, index) for index in range(items))
    with contextlib.closing(engine.run(copies, deadline=end)) as outcomes:
        for outcome in outcomes:
            outcome.result()
            runs.append(outcome.timing.run)
            # Not between the first and the last of those that run at the same time.
            if len(runs) % width == 0 and time.monotonic() > until:
                break
        wall = time.monotonic() - begun
    return Pace(slots, width, len(runs), wall, Spread.of(runs).median)
