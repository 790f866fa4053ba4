"""Pipelines that do what the tests need, and what real ones should not do."""

import hashlib
import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from service.tasks import Pipeline, Stage


def count_up(n: int = 10) -> Iterator[int]:
    """Yield the numbers below n."""
    yield from range(n)


def count_slowly(n: int = 5, seconds: float = 0.1) -> Iterator[int]:
    """Yield a number each so many seconds."""
    for number in range(n):
        yield number
        time.sleep(seconds)


def count_and_note(path: str, n: int = 1_000_000) -> Iterator[int]:
    """Yield numbers, and note in a file how many there were."""
    with open(path, "w") as file:
        for number in range(n):
            file.seek(0)
            file.write(f"{number + 1}")
            file.flush()
            yield number


def plus_one(number: int) -> int:
    """Add one."""
    return number + 1


def times_two(number: int) -> int:
    """Double."""
    return 2 * number


def with_pid(number: int) -> tuple[int, int]:
    """Tell who worked on a number."""
    time.sleep(0.002)
    return number, os.getpid()


def even_later(number: int) -> int:
    """Take longer for even numbers."""
    time.sleep(0.01 if number % 2 == 0 else 0.0)
    return number


def each_as_often(number: int) -> Iterator[int]:
    """Yield a number as many times as its last digit says."""
    for _ in range(number % 10):
        yield number


def misbehave(number: int) -> int:
    """Do something else for each number: see the branches."""
    if number == 3:
        raise ValueError("three is no number")
    if number == 13:
        os._exit(7)
    if number == 23:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 33:
        time.sleep(60)
    if number == 43:
        pow(3, 10**9)  # holds the GIL
    return number


def unsendable(number: int) -> object:
    """Return what can't be pickled for 5."""
    return (lambda: number) if number == 5 else number


def total(numbers: Iterable[int]) -> int:
    """Sum all of them up."""
    return sum(numbers)


def first_three(numbers: Iterator[int]) -> Iterator[int]:
    """Want no more than three."""
    for _ in range(3):
        yield next(numbers)


def count_on() -> Iterator[int]:
    """Yield numbers without end."""
    yield from itertools.count()


def count_and_stay_silent() -> Iterator[int]:
    """Yield some numbers, and no more for a long time."""
    yield from range(10)
    time.sleep(60)


def note(number: int) -> None:
    """Pass nothing on."""


def blocks(n: int, megabytes: int = 8) -> Iterator[np.ndarray]:
    """Yield large arrays."""
    for number in range(n):
        yield np.full(megabytes * 131072, number, dtype=np.float64)


def one_megabyte(n: int) -> Iterator[np.ndarray]:
    """Yield arrays of that size."""
    yield from blocks(n, 1)


def of_sizes(sizes: list[int]) -> Iterator[bytes]:
    """Yield bytes of so many lengths."""
    for size in sizes:
        yield bytes([size % 251]) * size


def same_bytes(data: bytes) -> bytes:
    """Pass them on."""
    return data


def length_and_first(data: bytes) -> tuple[int, int]:
    """Return how many there are, and one of them."""
    assert len(set(data)) <= 1
    return len(data), data[0] if data else 0


def checksum(block: np.ndarray) -> float:
    """Add up the ends of an array."""
    return float(block[0] + block[-1])


def look_at(block: np.ndarray) -> np.ndarray:
    """Read a little of it, and pass it on."""
    assert block[0] == block[-1]
    return block


def fail_after(n: int) -> Iterator[int]:
    """Raise after n numbers."""
    yield from range(n)
    raise RuntimeError("the source is dry")


def die_after(n: int) -> Iterator[int]:
    """Die after n numbers."""
    yield from range(n)
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_at(number: int) -> int:
    """Sleep long for 7."""
    if number == 7:
        time.sleep(60)
    return number


def busy(seconds: float = 0.002, n: int = 100) -> Iterator[float]:
    """Yield how long each item takes."""
    for _ in range(n):
        yield seconds


def burn(seconds: float) -> float:
    """Compute for so many seconds."""
    end = time.perf_counter() + seconds
    digest = hashlib.sha256()
    while time.perf_counter() < end:
        digest.update(b"x" * 512)
    return seconds


def wait_for(path: str) -> Iterator[str]:
    """Yield one item at once, and another when the file is there."""
    yield "first"
    while not Path(path).exists():
        time.sleep(0.005)
    yield "second"


def same(item: str) -> str:
    """Return it."""
    return item


def fail_on_total(numbers: Iterable[int]) -> int:
    """Take some, then raise."""
    for number in numbers:
        if number == 4:
            raise KeyError("four")
    return 0


Pipeline("t_plain", count_up, plus_one, times_two)
Pipeline("t_wide", count_up, Stage(with_pid, processes=3))
Pipeline("t_ordered", count_up, Stage(even_later, processes=3), times_two)
Pipeline("t_unordered", count_up, Stage(even_later, processes=3, ordered=False), times_two)
Pipeline("t_spread", count_up, Stage(each_as_often, processes=2), Stage(plus_one, processes=2))
Pipeline("t_misbehave", count_up, plus_one, Stage(misbehave, processes=2, timeout=0.3), times_two)
Pipeline("t_misbehave_alone", count_up, Stage(misbehave, timeout=0.3))
Pipeline("t_unsendable", count_up, unsendable)
Pipeline("t_total", count_up, Stage(plus_one, processes=2), total)
Pipeline("t_first", count_up, plus_one, first_three)
Pipeline("t_sink", count_up, plus_one, note)
Pipeline("t_blocks", blocks, look_at, checksum, buffer=2)
Pipeline("t_producer_fails", fail_after, plus_one)
Pipeline("t_producer_dies", die_after, plus_one)
Pipeline("t_sleeps", count_up, sleep_at)
Pipeline("t_slow", count_slowly, plus_one)
Pipeline("t_noted", count_and_note, plus_one, buffer=4)
Pipeline("t_burn", busy, Stage(burn, processes=2, name="first"), Stage(burn, processes=2, name="second"))
Pipeline("t_waits", wait_for, same)
Pipeline("t_total_fails", count_up, fail_on_total)
Pipeline(
    "t_wide_and_long",
    count_up,
    *(Stage(plus_one, processes=2 if n else 1, name=f"step_{n}") for n in range(4)),
)
Pipeline(
    "t_first_of_endless", count_on, Stage(plus_one, processes=3), Stage(times_two, processes=2), first_three
)
Pipeline("t_first_of_many", count_on, Stage(plus_one, processes=3, ordered=False), first_three, times_two)
Pipeline("t_first_of_silent", count_and_stay_silent, plus_one, first_three)
Pipeline("t_short", count_up, plus_one)
Pipeline("t_passes_blocks", Stage(one_megabyte), look_at)
Pipeline("t_sizes", of_sizes, Stage(same_bytes, processes=3), length_and_first, buffer=1)
Pipeline(
    "t_sizes_unordered", of_sizes, Stage(same_bytes, processes=3, ordered=False), length_and_first, buffer=2
)
