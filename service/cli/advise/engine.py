"""What a call costs by itself: the engine of the settings, in a folder of its own."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from service.cli.advise import probes
from service.cli.advise.clock import Clock
from service.cli.advise.figures import Engine, Spread
from service.engine.base import Call, Outcome, Timing
from service.engine.local import LocalEngine
from service.engine.pool import for_waiting
from service.settings import Settings

#: Bytes of the array.
ARRAY = 8_000_000
#: Calls of the map that does nothing.
_ITEMS = 2000
#: Seconds that two calls wait beside each other, so that there are two processes.
_PAUSE = 0.05


@contextlib.contextmanager
def engine_of(settings: Settings, cpu_slots: int | None = None) -> Iterator[LocalEngine]:
    """Have an engine like those of a service with these settings, which no other process knows of."""
    slots = settings.cpu_slots if cpu_slots is None else cpu_slots
    with tempfile.TemporaryDirectory(prefix="everycore-advise-") as folder:
        changed = {
            "runtime_dir": Path(folder),
            "task_modules": (*settings.task_modules, probes.__name__),
            "cpu_slots": slots,
            "pool_processes": max(settings.pool_processes, slots),
        }
        with contextlib.closing(LocalEngine.of(settings.model_copy(update=changed))) as engine:
            yield engine


def timings(engine: LocalEngine, calls: Iterable[Call], until: float) -> list[Timing]:
    """Run calls to their ends; raises what the first of them that fails, or the engine, raises."""
    found = []
    with contextlib.closing(engine.run(calls, deadline=until)) as outcomes:
        for outcome in outcomes:
            outcome.result()
            found.append(outcome.timing)
    return found


def timed(engine: LocalEngine, call: Call, until: float) -> tuple[float, Outcome]:
    """Run one call; return how long it took, there and back, and its outcome. Raises like ``timings``."""
    begun = time.perf_counter()
    (outcome,) = engine.run([call], deadline=until)
    outcome.result()
    return time.perf_counter() - begun, outcome


def measure(settings: Settings, clock: Clock) -> Engine:
    """Measure with calls that do nothing."""
    clock.step("a first process")
    noop = Call(probes.NOOP)
    with engine_of(settings) as engine:
        first, _ = timed(engine, noop, clock.end)
        clock.step("round trips")
        trips = [timed(engine, noop, clock.end)[0] for _ in clock.repeat(clock.seconds / 30, 20, 5000)]
        another = _another(engine, settings, clock)
        clock.step("a map, an array")
        return Engine(
            first=first,
            another=another,
            round_trip=Spread.of(trips),
            map_rate=_map_rate(engine, clock),
            array_rate=_array_rate(engine, clock),
            array_size=ARRAY,
        )


def _another(engine: LocalEngine, settings: Settings, clock: Clock) -> float | None:
    """Return how long a call waits that needs one more process, while the only one is busy."""
    if for_waiting(settings.pool_processes, settings.cpu_slots) == 1:
        return None  # they would wait for each other
    calls = (Call(probes.PAUSE, {"seconds": _PAUSE}, index) for index in range(2))
    return max(timing.wait for timing in timings(engine, calls, clock.end))


def _map_rate(engine: LocalEngine, clock: Clock) -> float:
    rates = []
    for _ in clock.repeat(clock.seconds / 40, 3, 50):
        calls = (Call(probes.NOOP, index=index) for index in range(_ITEMS))
        begun = time.perf_counter()
        timings(engine, calls, clock.end)
        rates.append(_ITEMS / (time.perf_counter() - begun))
    return Spread.of(rates).median


def _array_rate(engine: LocalEngine, clock: Clock) -> float:
    array = np.ones(ARRAY // 8)
    times = []
    for _ in itertools.chain([None], clock.repeat(clock.seconds / 40, 3, 100)):
        seconds, outcome = timed(engine, Call(probes.ECHO, {"values": array}), clock.end)
        del outcome  # the memory that its value lies in is free for the next one
        times.append(seconds)
    # The first one finds no memory yet that was used before.
    return 2 * ARRAY / Spread.of(times[1:]).median
