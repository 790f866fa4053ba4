"""What a process takes along that is killed at one end of a queue, while others go on at both.

    reader, waiting ──killed──  can another one take the next item?
    writer, in the middle of a large item ──killed──  does another one's item come through?
    last writer ──killed──  is the reader told that nothing more comes?

What does not happen within the plan's patience counts as never happening: nobody is left who could make it
happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.channel_peers import PEERS, End, Peer
from loadtests.channel_plan import FEW, Plan, Samples
from loadtests.channel_workers import Worker, workers

GOES_ON, BLOCKED, TOLD, NOT_TOLD = "goes on", "blocked", "told", "never told"
LAST = "the other one's"
_LOOK = 0.02


def measure(names: Sequence[str], plan: Plan, note: Callable[[str], None]) -> Samples:
    """Return, by peer and figure, a word for each death."""
    samples: Samples = {name: {} for name in names}
    for name in names:
        note(f"deaths: {name}")
        for _ in range(plan.kills):
            for figure, word in deaths(PEERS[name], plan).items():
                samples[name].setdefault(figure, []).append(word)
    return samples


def deaths(kind: type[Peer], plan: Plan) -> dict[str, str]:
    """Return what each death leads to."""
    figures = {"last_writer_killed": last_writer(kind, plan)}
    if kind.shared:
        figures |= {"reader_killed": waiting_reader(kind, plan), "writer_killed": busy_writer(kind, plan)}
    return figures


def waiting_reader(kind: type[Peer], plan: Plan) -> str:
    """Kill a reader that waits; tell whether another one gets the next item."""
    with closing(kind(FEW)) as peer:
        victim, other = (Worker(_take_one, peer.reader) for _ in range(2))
        writer = Worker(_put, peer.writer, [LAST])
    with workers(victim, other, writer):
        _kill_at_rest(victim)
        other.go()
        writer.go()
        return GOES_ON if _heard(other, LAST, plan) else BLOCKED


def busy_writer(kind: type[Peer], plan: Plan) -> str:
    """Kill a writer that waits for room with a large item; tell whether another one's item gets through."""
    with closing(kind(FEW)) as peer:
        victim = Worker(_put_large, peer.writer, plan.large << 17)
        other = Worker(_put, peer.writer, [LAST])
        reader = Worker(_take_until, peer.reader, LAST)
    with workers(victim, other, reader):
        _kill_at_rest(victim)
        other.go()
        reader.go()
        return GOES_ON if _heard(reader, LAST, plan) else BLOCKED


def last_writer(kind: type[Peer], plan: Plan) -> str:
    """Kill the only writer; tell whether a reader learns that there will be no more."""
    with closing(kind(FEW)) as peer:
        victim = Worker(_put, peer.writer, [LAST] * 10**6)
        reader = Worker(_take_until, peer.reader, None)
    with workers(victim, reader):
        victim.go()
        reader.go()
        victim.process.kill()
        victim.process.join()
        return TOLD if _heard(reader, "the end", plan) else NOT_TOLD


def _kill_at_rest(victim: Worker) -> None:
    """Kill a process when none of its threads does anything any more, for all wait."""
    victim.go()
    looks = 0
    while looks < 3:
        victim.process.join(_LOOK)
        states = {path.read_text().rpartition(")")[2].split()[0] for path in _threads(victim)}
        looks = looks + 1 if states == {"S"} else 0
    victim.process.kill()
    victim.process.join()


def _threads(worker: Worker) -> list[Path]:
    return list(Path(f"/proc/{worker.process.pid}/task").glob("*/stat"))


def _heard(worker: Worker, expected: str, plan: Plan) -> bool:
    try:
        said = worker.said(plan.patience)
    except TimeoutError:
        return False
    assert said == expected
    return True


def _put(end: End, items: list[Any]) -> None:
    end.put_all(items)
    end.close()


def _put_large(end: End, length: int) -> None:
    _put(end, [np.ones(length)] * 2 * FEW)


def _take_one(end: End) -> Any:
    return end.getter()()


def _take_until(end: End, last: Any) -> Any:
    get = end.getter()
    while True:
        try:
            item = get()
        except EOFError:
            return "the end"
        if isinstance(item, str) and item == last:
            return item
