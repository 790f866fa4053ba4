"""What is timed side by side: all pools stand ready in one process, and peers take turns.

A round goes through the measurements; in each, one peer follows the other at once, and each round
begins with another peer. So whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from loadtests import bench_tasks
from loadtests.engine_peer import Peer
from loadtests.engine_peers import PEERS
from loadtests.engine_plan import Plan, Samples

#: Items to a message where a peer is told how many.
CHUNK = 64
FAN_OUT = 16
#: Float64 numbers in a page of memory.
_PAGE = 512

Measured = dict[str, float]
Measure = Callable[[Peer, Plan], Measured]


class WrongAnswer(Exception):
    """A peer did not return what its function does."""


def measure(names: Sequence[str], plan: Plan, note: Callable[[str], None]) -> Samples:
    """Return, by peer and figure, one value a round."""
    samples: Samples = {name: {} for name in names}
    with _pools(names, plan) as peers:
        for turn in range(plan.rounds):
            note(f"side by side: round {turn + 1} of {plan.rounds}")
            for step in MEASURES:
                for peer in _rotated(peers, turn):
                    for figure, value in step(peer, plan).items():
                        samples[peer.name].setdefault(figure, []).append(value)
    return samples


@contextmanager
def _pools(names: Sequence[str], plan: Plan) -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        peers = []
        for name in names:
            peer = PEERS[name](plan.processes)
            stack.callback(peer.close)
            # First all processes are there, then each has touched the memory that it uses again.
            peer.fan_out(bench_tasks.hold, [0.1] * peer.processes)
            peer.fan_out(bench_tasks.double, [np.zeros(plan.large << 17)] * peer.processes)
            peers.append(peer)
        yield peers


def _rotated(peers: list[Peer], by: int) -> list[Peer]:
    by %= len(peers)
    return peers[by:] + peers[:by]


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = action()
    return time.perf_counter() - begun, result


def _expect(peer: Peer, *, right: bool) -> None:
    if not right:
        raise WrongAnswer(peer.name)


def round_trip(peer: Peer, plan: Plan) -> Measured:
    """Microseconds from a call to its answer, nothing else going on."""
    seconds = []
    for number in range(plan.calls):
        begun = time.perf_counter()
        answer = peer.call(bench_tasks.noop, number)
        seconds.append(time.perf_counter() - begun)
        _expect(peer, right=answer == number)
    *_, p99 = statistics.quantiles(seconds, n=100)
    return {"round_trip_p50": statistics.median(seconds) * 1e6, "round_trip_p99": p99 * 1e6}


def map_of_noops(peer: Peer, plan: Plan) -> Measured:
    """Microseconds an item of a long map, as each peer does it by itself."""
    items = range(plan.chunked_items if peer.chunks_by_itself else plan.items)
    took, answers = _timed(lambda: peer.map(bench_tasks.noop, items))
    _expect(peer, right=answers == list(items))
    return {"map": took / len(items) * 1e6}


def map_in_chunks(peer: Peer, plan: Plan) -> Measured:
    """Microseconds an item, for those that can be told how many to send at once."""
    if not peer.takes_chunksize:
        return {}
    items = range(plan.chunked_items)
    took, answers = _timed(lambda: peer.map_in_chunks(bench_tasks.noop, items, CHUNK))
    _expect(peer, right=answers == list(items))
    return {"map_in_chunks": took / len(items) * 1e6}


def fan_out(peer: Peer, plan: Plan) -> Measured:
    """Microseconds until a few calls made at once are all answered."""
    items = list(range(FAN_OUT))
    seconds = []
    for _ in range(plan.fan_outs):
        took, answers = _timed(lambda: peer.fan_out(bench_tasks.noop, items))
        _expect(peer, right=answers == items)
        seconds.append(took)
    return {"fan_out": statistics.median(seconds) * 1e6}


def small_array(peer: Peer, plan: Plan) -> Measured:
    """Milliseconds for a megabyte of floats there and its double back."""
    return {"array_small": _array(peer, 1 << 20, plan.small_arrays)}


def large_array(peer: Peer, plan: Plan) -> Measured:
    """Milliseconds for many megabytes of floats there and their doubles back."""
    return {"array_large": _array(peer, plan.large << 20, plan.large_arrays)}


def _array(peer: Peer, size: int, times: int) -> float:
    array = np.arange(size // 8, dtype=np.float64)
    expected = 2 * float(array[::_PAGE].sum())

    def there_and_back() -> float:
        # Looking at every page makes sure that all of the answer is really here.
        return float(peer.call(bench_tasks.double, array)[::_PAGE].sum())

    seconds = []
    for _ in range(times):
        took, total = _timed(there_and_back)
        _expect(peer, right=total == expected)
        seconds.append(took)
    return statistics.median(seconds) * 1e3


def large_bytes(peer: Peer, plan: Plan) -> Measured:
    """Milliseconds for many megabytes of bytes there and back."""
    data = bytes(range(256)) * (plan.large << 12)
    seconds = []
    for _ in range(plan.large_arrays):
        took, answer = _timed(lambda: peer.call(bench_tasks.echo, data))
        _expect(peer, right=answer == data)
        seconds.append(took)
        del answer
    return {"bytes_large": statistics.median(seconds) * 1e3}


MEASURES: tuple[Measure, ...] = (
    round_trip,
    map_of_noops,
    map_in_chunks,
    fan_out,
    small_array,
    large_array,
    large_bytes,
)
