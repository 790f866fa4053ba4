"""What a task takes with certain arguments, alone: time, CPU, memory, bytes."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from typing import Any

from service.cli.advise import probes
from service.cli.advise.clock import Clock
from service.cli.advise.engine import engine_of, timed
from service.cli.advise.figures import Spread, Task
from service.cli.advise.paces import paces
from service.cli.advise.process import Memory, waited_for_cpu
from service.engine.base import Call, Outcome, Timing
from service.errors import CallError, DeadlineExceeded, EverycoreError
from service.settings import Settings
from service.tasks import strict_json
from service.tasks.contract import Contract

#: Share of what is left of the time that single calls take; the maps have the rest.
_ALONE = 0.3
#: Single calls at most, and times that JSON is made.
_CALLS, _ENCODINGS = 1000, 10


class NotMeasured(EverycoreError):
    """The task can't be measured with these arguments in this time."""


@dataclass(slots=True)
class _Alone:
    """Single calls, one after another."""

    first: Timing
    before: Memory
    after: Memory
    #: The value of the last one.
    value: Any
    #: Seconds that the process was ready to run and had no CPU, for others had them.
    kept_waiting: float = 0.0
    timings: list[Timing] = field(default_factory=list)
    #: What each took beside its run.
    overheads: list[float] = field(default_factory=list)


def measure(
    settings: Settings, contract: Contract, raw: bytes, args: dict[str, Any], items: int | None, clock: Clock
) -> Task:
    """Measure a task with arguments, which came as ``raw``; ``items`` is how many copies a map shall have.

    Raises ``NotMeasured`` when a call fails or takes too long, and what the engine raises.
    """
    task, call = contract.task, Call(contract.task.name, args)
    clock.step(f"{task.name}: calls, one after another")
    try:
        alone = _alone(settings, call, clock)
    except DeadlineExceeded as error:
        raise NotMeasured(
            f"{task.name!r} did not end within the {clock.seconds:.3g} s that it may take to measure it;"
            " allow more by --seconds, or give it less to do"
        ) from error
    except CallError as error:
        raise NotMeasured(f"{task.name!r} fails with these arguments: {error}") from error
    spread = Spread.of([timing.run for timing in alone.timings])
    ran = sum(timing.run for timing in alone.timings)
    size, seconds = _json(contract, raw, alone.value)
    return Task(
        name=task.name,
        cpu=task.cpu,
        timeout=task.timeout,
        first=alone.first.run,
        run=spread,
        share=_share(sum(timing.cpu for timing in alone.timings), ran, alone.kept_waiting),
        contended=min(1.0, alone.kept_waiting / max(ran, 1e-9)),
        overhead=Spread.of(alone.overheads).median,
        own_memory=alone.before.proportional,
        growth=max(0, alone.after.peak - alone.before.peak),
        peak=alone.after.peak,
        arguments_size=_pickled(args),
        result_size=_pickled(alone.value),
        request_json=len(raw),
        result_json=size,
        json=seconds,
        paces=tuple(paces(settings, call, task.cpu, spread.median, items, clock)),
    )


def _alone(settings: Settings, call: Call, clock: Clock) -> _Alone:
    with engine_of(settings) as engine:
        _, idle = timed(engine, Call(probes.NOOP), clock.end)
        before, waited = Memory.of(idle.timing.pid), waited_for_cpu(idle.timing.pid)
        took, outcome = timed(engine, call, clock.end)
        found = _Alone(outcome.timing, before, Memory.of(outcome.timing.pid), outcome.value)
        _note(found, took, outcome)
        share = _ALONE * clock.left
        if took < share:
            # The first one in a process imports and fills caches; it is told apart.
            found.timings.clear()
            found.overheads.clear()
            waited = waited_for_cpu(outcome.timing.pid)
            for _ in clock.repeat(share, 2, _CALLS):
                took, outcome = timed(engine, call, clock.end)
                _note(found, took, outcome)
        found.after = Memory.of(outcome.timing.pid)
        found.kept_waiting = max(0.0, waited_for_cpu(outcome.timing.pid) - waited)
        return found


def _note(found: _Alone, took: float, outcome: Outcome) -> None:
    found.timings.append(outcome.timing)
    found.overheads.append(max(0.0, took - outcome.timing.run))
    found.value = outcome.value


def _share(cpu: float, ran: float, kept_waiting: float) -> float:
    """Return how much of its time a call computes; a CPU that others had is no waiting of its own."""
    if cpu >= ran:
        return cpu / max(ran, 1e-9)  # several threads
    # Not all of that was within a run: it waits for a CPU to begin, too.
    return cpu / max(ran - kept_waiting, cpu, 1e-9)


def _pickled(value: Any) -> int:
    buffers: list[pickle.PickleBuffer] = []
    size = len(pickle.dumps(value, 5, buffer_callback=buffers.append))
    return size + sum(buffer.raw().nbytes for buffer in buffers)


def _json(contract: Contract, raw: bytes, value: Any) -> tuple[int | None, float]:
    """Return the size of the answer, and the CPU time that reading and writing JSON takes a request."""
    size: int | None = None
    begun = time.thread_time()
    for _ in range(_ENCODINGS):
        contract.validate_json(raw)
        if isinstance(value, bytes):
            size = len(value)  # an answer as it is
            continue
        try:
            size = len(strict_json.dumps(value))
        except (ValueError, TypeError, RecursionError):
            size = None
    return size, (time.thread_time() - begun) / _ENCODINGS
