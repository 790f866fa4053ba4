"""A pipeline as one would build it by hand: a process for each step, a queue behind each, as in the samples.

Nobody looks after its processes: if one dies, the others wait for ever.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

#: Items that a queue holds, as many as a pipeline's channel.
SIZE = 8
#: Seconds for processes to end that have nothing left to do.
PATIENCE = 5.0

# The start method of the samples, and the quickest.
_fork = multiprocessing.get_context("fork")
_END = None


def run(
    produce: Callable[..., Iterator[Any]], args: Mapping[str, Any], stages: Sequence[Callable[[Any], Any]]
) -> Iterator[Any]:
    """Yield what comes out of the last stage."""
    queues = [_fork.Queue(SIZE) for _ in range(1 + len(stages))]
    processes = [
        _fork.Process(target=_produce, args=(produce, args, queues[0])),
        *(
            _fork.Process(target=_change, args=(stage, queues[place], queues[place + 1]))
            for place, stage in enumerate(stages)
        ),
    ]
    try:
        for process in processes:
            process.start()
        while (item := queues[-1].get()) is not _END:
            yield item
        for process in processes:
            process.join(PATIENCE)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
        for queue in queues:
            queue.close()


def _produce(produce: Callable[..., Iterator[Any]], args: Mapping[str, Any], out: Any) -> None:
    for item in produce(**args):
        out.put(item)
    out.put(_END)


def _change(work: Callable[[Any], Any], items: Any, out: Any) -> None:
    while (item := items.get()) is not _END:
        out.put(work(item))
    out.put(_END)
