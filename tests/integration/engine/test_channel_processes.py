"""Channels between processes, some of which are killed."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.engine.channel import Closed, Reader, Writer, channel
from tests.integration.engine.channel_processes import (
    Processes,
    check_arrays,
    put,
    put_arrays,
    put_until_closed,
    take,
    take_and_tell,
    take_one_and_stop,
)
from tests.integration.engine.test_lifecycle import wait_until

LARGE = np.arange(100_000)


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with contextlib.closing(Processes()) as started:
        yield started


@pytest.fixture
def ends() -> Iterator[tuple[Writer, Reader]]:
    writer, reader = channel(8)
    yield writer, reader
    writer.close()
    reader.close()


def rest_of(reader: Reader) -> Iterator[object]:
    with contextlib.suppress(EOFError):
        while True:
            yield reader.get()


# Nothing is lost, nothing comes twice, and what comes from one to one comes in order


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("capacity", [1, 8, 1000])
def test_order_is_kept_between_one_writer_and_one_reader(processes, capacity, many):
    writer, reader = channel(capacity)
    sizes = [0, 1, 5, 3000, 0, 2, 10_000, 70_000, 200_000, *[3] * 300, 40_000, 1, 1, *[0] * 3000, 2000]
    items = [f"{n} ".ljust(size, "x") for n, size in enumerate(sizes)]
    process = processes.start(put, writer, items, many=many)
    writer.close()

    assert list(rest_of(reader)) == items
    assert process.ended() == 0
    reader.close()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("capacity", [1, 3, 100])
def test_each_item_comes_to_one_of_many_readers_from_one_of_many_writers(processes, capacity, many):
    writer, reader = channel(capacity)
    takers = [processes.start(take, reader) for _ in range(3)]
    putters = [processes.start(put, writer, [(name, n) for n in range(1000)], many=many) for name in "abc"]
    writer.close()
    reader.close()

    received = [taker.said() for taker in takers]
    assert sorted(itertools.chain.from_iterable(received)) == [
        (name, n) for name in "abc" for n in range(1000)
    ]
    assert all(in_order(items) for items in received)
    assert [process.ended() for process in (*takers, *putters)] == [0] * 6


def in_order(items: Iterable[tuple[str, int]]) -> bool:
    """Tell whether those of each writer are in their order."""
    numbers = defaultdict(list)
    for name, number in items:
        numbers[name].append(number)
    return all(some == sorted(some) for some in numbers.values())


writers_items = st.lists(st.integers(0, 60) | st.integers(0, 200_000), max_size=12)


@given(
    capacity=st.sampled_from([1, 2, 3, 8, 70, 500]),
    plan=st.lists(st.tuples(writers_items, st.booleans()), min_size=1, max_size=3),
    readers=st.integers(1, 3),
    arrays=st.booleans(),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_numbers_and_sizes_come_through(processes, capacity, plan, readers, arrays):
    writer, reader = channel(capacity)
    takers = [processes.start(take, reader) for _ in range(readers)]
    made = [
        [
            (name, n, np.full(size, n, np.uint8) if arrays else bytes([n]) * size)
            for n, size in enumerate(sizes)
        ]
        for name, (sizes, _) in enumerate(plan)
    ]
    for items, (_, many) in zip(made, plan, strict=True):
        processes.start(put, writer, items, many=many)
    writer.close()
    reader.close()

    received = [taker.said() for taker in takers]
    expected = Counter((name, n, bytes(value)) for items in made for name, n, value in items)
    assert Counter((name, n, bytes(value)) for items in received for name, n, value in items) == expected
    assert all(in_order((name, n) for name, n, _ in items) for items in received)


# Deaths


@pytest.mark.parametrize("item", [1, LARGE], ids=["small", "large"])
def test_the_items_end_when_the_last_writer_is_killed(processes, ends, item):
    writer, reader = ends
    process = processes.start(put_until_closed, writer, item)
    writer.close()
    process.said()
    reader.get()
    process.kill()

    assert 0 <= len(list(rest_of(reader))) <= 8


@pytest.mark.parametrize("length", [3, 200_000], ids=["small", "large"])
def test_a_writer_that_is_killed_leaves_whole_items_and_the_others_go_on(processes, ends, length):
    writer, reader = ends
    names = ["killed", "other", "third"]
    putters = {name: processes.start(put_arrays, writer, name, length) for name in names}
    writer.close()
    seen: Counter[str] = Counter()

    def check(some: Iterable[Any]) -> None:
        for name, number, array in some:
            assert number == seen[name]
            assert (array == number).all()
            seen[name] += 1

    while min(seen[name] for name in names) < 20:
        check([reader.get()])
    putters["killed"].kill()
    then = seen.copy()
    while min(seen[name] - then[name] for name in ("other", "third")) < 20:
        check([reader.get()])
    assert seen["killed"] - then["killed"] <= 8
    for name in ("other", "third"):
        putters[name].kill()
    check(rest_of(reader))


@pytest.mark.parametrize("length", [3, 200_000], ids=["small", "large"])
def test_a_reader_that_is_killed_takes_one_item_along_and_the_others_go_on(processes, ends, length):
    writer, reader = ends
    killed, other = (processes.start(check_arrays, reader) for _ in range(2))
    reader.close()
    numbers = itertools.count()

    def put_one() -> bool:
        number = next(numbers)
        writer.put(("w", number, np.full(length, number)))
        return bool(killed.speaks())

    # It may have begun long after the other.
    wait_until(put_one, 20)
    for _ in range(200):
        put_one()
    killed.kill()
    for _ in range(200):
        put_one()
    writer.close()

    seen = [number for _, number in killed.all_said() + other.all_said()]
    assert len(seen) == len(set(seen))
    assert len(set(range(next(numbers))) - set(seen)) <= 1
    assert other.ended() == 0


def test_a_reader_that_is_killed_while_it_waits_takes_nothing_along(processes, ends):
    writer, reader = ends
    waiting = processes.start(take_and_tell, reader)
    writer.put("first")
    assert waiting.said() == "first"
    waiting.kill()
    for number in range(8):
        writer.put(number)
    writer.close()

    assert list(rest_of(reader)) == list(range(8))


def test_a_reader_that_is_halted_holds_nobody_up(processes, ends):
    writer, reader = ends
    halted = processes.start(take_one_and_stop, reader)
    writer.put("first")
    assert halted.said() == "first"
    putter = processes.start(put, writer, range(1000))
    writer.close()

    assert list(rest_of(reader)) == list(range(1000))
    assert putter.ended() == 0
    halted.kill()


@pytest.mark.parametrize("item", [1, LARGE], ids=["small", "large"])
def test_writers_that_wait_for_room_are_told_that_the_last_reader_was_killed(processes, ends, item):
    writer, reader = ends
    putters = [processes.start(put_until_closed, writer, item) for _ in range(2)]
    taker = processes.start(take_one_and_stop, reader)
    reader.close()
    assert [putter.said() for putter in putters] == ["begun"] * 2
    taker.said()
    wait_until(
        lambda: all(
            process.status() == psutil.STATUS_SLEEPING for process in map(psutil.Process, pids(putters))
        )
    )
    taker.kill()

    assert [putter.said() for putter in putters] == ["closed"] * 2
    with pytest.raises(Closed):
        writer.put(item)


def pids(some):
    return [process.pid for process in some]
