"""What a service takes while it works: memory, descriptors and processes of all that belongs to it."""

from __future__ import annotations

import contextlib
import csv
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of a service at one moment."""

    #: Seconds since the first one.
    at: float
    processes: float
    descriptors: float
    #: In megabytes. RSS counts a page that processes share once for each of them, PSS once in all.
    rss: float
    pss: float


FIGURES = tuple(field.name for field in fields(Sample) if field.name != "at")


def look(processes: Sequence[psutil.Process], at: float) -> Sample:
    """Look at each of them; one that ends meanwhile counts as gone."""
    seen = [found for process in processes if (found := _of(process)) is not None]
    descriptors, rss, pss = (sum(column) for column in zip(*seen, strict=True)) if seen else (0, 0, 0)
    return Sample(at, len(seen), descriptors, rss / 1e6, pss / 1e6)


def _of(process: psutil.Process) -> tuple[int, int, int] | None:
    try:
        memory = process.memory_full_info()
        return process.num_fds(), memory.rss, memory.pss
    except psutil.Error:
        return None


@contextlib.contextmanager
def watching(processes: Callable[[], Sequence[psutil.Process]], every: float) -> Iterator[list[Sample]]:
    """Yield a list to which a sample is added every so many seconds while the block runs.

    ``processes`` says which there are at the moment.
    """
    samples: list[Sample] = []
    over = threading.Event()
    begun = time.monotonic()

    def watch() -> None:
        while not over.is_set():
            samples.append(look(processes(), time.monotonic() - begun))
            over.wait(every)

    with ThreadPoolExecutor(1, thread_name_prefix="watch") as threads:
        watcher = threads.submit(watch)
        try:
            yield samples
        finally:
            over.set()
            watcher.result()


def write(samples: Sequence[Sample], path: Path) -> None:
    """Write them as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in fields(Sample)])
        rows.writerows([round(value, 3) for value in astuple(sample)] for sample in samples)
