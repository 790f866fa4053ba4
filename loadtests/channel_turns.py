"""What is timed: processes put items in and others take them out, and peers take turns.

A round goes through the measurements; in each, one peer follows the other at once, and each round begins
with another peer. So whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from loadtests.channel_peers import PEERS, Peer
from loadtests.channel_plan import FEW, MANY, SEVERAL, Plan, Samples
from loadtests.channel_workers import (
    PATIENCE,
    Taken,
    Worker,
    keep_arrays,
    put_arrays,
    put_small,
    take_arrays,
    take_small,
    workers,
)

Measured = dict[str, float]
Measure = Callable[[type[Peer], Plan], Measured]


class WrongAnswer(Exception):
    """What came out is not what had been put in."""


def measure(names: Sequence[str], plan: Plan, note: Callable[[str], None]) -> Samples:
    """Return, by peer and figure, one value a round."""
    samples: Samples = {name: {} for name in names}
    for turn in range(plan.rounds):
        note(f"side by side: round {turn + 1} of {plan.rounds}")
        first = turn % len(names)
        for step in MEASURES:
            for name in (*names[first:], *names[:first]):
                for figure, value in step(PEERS[name], plan).items():
                    samples[name].setdefault(figure, []).append(value)
    return samples


def few_small(kind: type[Peer], plan: Plan) -> Measured:
    """Small items a second, and microseconds of CPU time of each, when few may wait."""
    return _small(kind, plan, FEW, "few")


def many_small(kind: type[Peer], plan: Plan) -> Measured:
    """The same when many may wait."""
    return _small(kind, plan, MANY, "many")


def _small(kind: type[Peer], plan: Plan, capacity: int, name: str) -> Measured:
    seconds, cpu = timed(kind(capacity), put_small, (plan.items,), take_small)
    return {f"small_{name}": plan.items / seconds, f"small_{name}_cpu": cpu / plan.items * 1e6}


def several_small(kind: type[Peer], plan: Plan) -> Measured:
    """Small items a second when several processes put them in and several take them out."""
    if not kind.shared:
        return {}
    each = plan.items // SEVERAL
    seconds, _ = timed(kind(FEW), put_small, (each,), take_small, SEVERAL)
    return {"small_several": SEVERAL * each / seconds}


def middle_arrays(kind: type[Peer], plan: Plan) -> Measured:
    """Gigabytes a second of arrays of some pages."""
    return {"arrays_middle": _arrays(kind, plan.middle_arrays, plan.middle << 10, take_arrays)}


def large_arrays(kind: type[Peer], plan: Plan) -> Measured:
    """Gigabytes a second of large arrays."""
    return {"arrays_large": _arrays(kind, plan.large_arrays, plan.large << 20, take_arrays)}


def kept_arrays(kind: type[Peer], plan: Plan) -> Measured:
    """The same when the reader keeps them all."""
    return {"arrays_kept": _arrays(kind, plan.large_arrays, plan.large << 20, keep_arrays)}


def _arrays(kind: type[Peer], count: int, size: int, take: Callable[..., Taken]) -> float:
    seconds, _ = timed(kind(FEW), put_arrays, (count, size), take)
    return count * size / seconds / 1e9


def timed(
    peer: Peer, put: Callable[..., float], args: tuple[int, ...], take: Callable[..., Taken], several: int = 1
) -> tuple[float, float]:
    """Have writers ``put`` so many items each, and as many readers ``take`` them all.

    Return the seconds from the first item that is taken to the last, and the CPU time of all. Raises
    ``WrongAnswer`` when numbers are missing.
    """
    count = args[0]
    with closing(peer):
        readers = [Worker(take, peer.reader) for _ in range(several)]
        writers = [Worker(put, peer.writer, *args) for _ in range(several)]
    with workers(*readers, *writers) as everyone:
        for worker in everyone:
            worker.go()
        taken = [reader.said(PATIENCE) for reader in readers]
        cpu = sum(writer.said(PATIENCE) for writer in writers)
    if sum(some.total for some in taken) != several * sum(range(count)):
        raise WrongAnswer(peer.name)
    seconds = max(some.last for some in taken) - min(some.first for some in taken)
    return seconds, cpu + sum(some.cpu for some in taken)


MEASURES: tuple[Measure, ...] = (
    few_small,
    many_small,
    several_small,
    middle_arrays,
    large_arrays,
    kept_arrays,
)
