"""What the processes do that ``bench_channel`` starts at the ends of a queue.

    measuring process ──end of a queue──> worker: ready ──> go ──> works ──> tells

Every item is a number and something with it, and readers return what their numbers add up to. Each writer
puts ``None`` behind its items, and each of as many readers takes one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import numpy as np

from loadtests.channel_peers import CONTEXT, End

#: Seconds that anything may take which should happen at once.
PATIENCE = 60.0
#: Float64 numbers in a page of memory.
_PAGE = 512


@dataclass(frozen=True, slots=True)
class Taken:
    """What a reader has seen."""

    #: When it had the first item and the last one, in seconds of the machine's clock.
    first: float
    last: float
    #: What the numbers of all items add up to.
    total: int
    #: Seconds of CPU time.
    cpu: float


class Worker:
    """A process at one end."""

    def __init__(self, work: Callable[..., Any], end: End, *args: Any) -> None:
        """Start it; ``work`` gets the end and ``args``."""
        self._pipe, theirs = CONTEXT.Pipe()
        self.process: ForkServerProcess = CONTEXT.Process(target=_main, args=(work, end, theirs, *args))
        self.process.start()
        theirs.close()

    def go(self) -> None:
        """Wait until it is ready, and let it begin."""
        assert self.said(PATIENCE) == "ready"
        self._pipe.send("go")

    def said(self, seconds: float) -> Any:
        """Return what it tells; raises ``TimeoutError`` when it tells nothing for so long."""
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv()

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.process.join()
        self._pipe.close()


@contextmanager
def workers(*some: Worker) -> Iterator[Sequence[Worker]]:
    """End them whatever happens."""
    try:
        yield some
    finally:
        for worker in some:
            worker.kill()


def preload() -> None:
    """Have the fork server ready, with what its processes import."""
    CONTEXT.set_forkserver_preload([__name__])
    process = CONTEXT.Process(target=int)
    process.start()
    process.join()


def _main(work: Callable[..., Any], end: End, pipe: Connection, *args: Any) -> None:
    pipe.send("ready")
    pipe.recv()
    pipe.send(work(end, *args))


# Writers; each returns the CPU time that it took


def put_small(end: End, count: int) -> float:
    """Put small items in."""
    return _put(end, ((number, "an item", 0.5) for number in range(count)))


def put_arrays(end: End, count: int, size: int) -> float:
    """Put arrays of ``size`` bytes in."""
    array = np.ones(size // 8)
    return _put(end, ((number, array) for number in range(count)))


def _put(end: End, items: Iterable[Any]) -> float:
    before = time.process_time()
    end.put_all(itertools.chain(items, [None]))
    end.close()
    return time.process_time() - before


# Readers


def take_small(end: End) -> Taken:
    """Take small items out."""
    return _taken(end.getter(), lambda item: item[0])


def take_arrays(end: End) -> Taken:
    """Take arrays out and look at every page of them."""
    return _taken(end.getter(), _seen)


def keep_arrays(end: End) -> Taken:
    """Take arrays out, look at every page of them, and keep them all."""
    kept = []

    def keep(item: Any) -> int:
        kept.append(item)
        return _seen(item)

    return _taken(end.getter(), keep)


def _taken(get: Callable[[], Any], look: Callable[[Any], int]) -> Taken:
    before = time.process_time()
    item = get()
    total, first = 0, time.perf_counter()
    while item is not None:
        total += look(item)
        item = get()
    return Taken(first, time.perf_counter(), total, time.process_time() - before)


def _seen(item: Any) -> int:
    number, array = item
    pages = array[::_PAGE]
    # Ones went in: a page that did not arrive makes the total wrong.
    return int(number) - (len(pages) - int(pages.sum()))
