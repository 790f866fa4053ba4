"""Runs a pipeline as a Gunicorn worker does, and tells how much memory that takes.

``python memory_owner.py runtime-dir pipeline items``: prints the number of results and of bytes, at most, of
all processes together.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.integration.pipelines.conftest import Pipes, engine_of

#: Seconds between two looks.
PERIOD = 0.2


class Meter(threading.Thread):
    """Adds up the memory of this process and all below it, each page once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.peak = 0
        #: Of the whole machine, in memory files that no process need have mapped.
        self.shared_before = shared()
        self.shared_peak = 0

    def run(self) -> None:
        while not self.stop.wait(PERIOD):
            self.peak = max(self.peak, sum(self._sizes()))
            self.shared_peak = max(self.shared_peak, shared() - self.shared_before)

    def _sizes(self) -> Iterator[int]:
        own = psutil.Process()
        for process in (own, *own.children(recursive=True)):
            try:
                yield process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue


def shared() -> int:
    return int(psutil.virtual_memory().shared)


def main() -> None:
    runtime_dir, name, items = sys.argv[1:]
    pipes = Pipes(engine_of(Path(runtime_dir)))
    for _ in range(2):
        pipes.values(name, n=10)
    meter = Meter()
    before = sum(meter._sizes())
    meter.start()
    count = sum(1 for _ in pipes.start(name, within=150, n=int(items)))
    meter.stop.set()
    meter.join()
    print(count, meter.peak, meter.peak - before, meter.shared_peak, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
