"""A bounded queue between processes: what goes through it, and how much of it waits."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.channel import Closed, Empty, Reader, Writer, channel
from service.engine.items import Unsendable
from service.engine.wire import MAX_MESSAGE
from tests.integration.engine.channel_processes import Processes, put_large_ones_as_nobody

LARGE = np.arange(100_000)


@pytest.fixture
def ends():
    writer, reader = channel(8)
    yield writer, reader
    writer.close()
    reader.close()


def fill(writer, item):
    """Put an item in as often as there is room, and return how often."""
    count = 0
    while count < 2000:
        message = writer.pack(item)
        if not writer.send(message, wait=False):
            message.close()
            return count
        count += 1
    raise AssertionError("it is never full")


def empty(reader):
    items = []
    while True:
        try:
            items.append(reader.receive(wait=False))
        except Empty:
            return items


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Unreadable:
    """Can be pickled, not unpickled."""

    def __reduce__(self):
        return int, ("not a number",)


# The items


VALUES = [
    *(None, 0, "", b"", (), 2**100, {"a": [1, 2.5, None, "ü"]}, "x" * 5000),
    *(bytes(size) for size in (1000, 20_000, MAX_MESSAGE, 100_000, 8_000_000)),
    *(bytearray(10), bytearray(8_000_000)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} of {len(repr(value))}")
@pytest.mark.parametrize("capacity", [1, 8, 1000])
def test_an_item_of_any_size_comes_out_as_it_went_in(value, capacity):
    writer, reader = channel(capacity)
    for _ in range(3):
        writer.put(value)
        received = reader.get()

        assert received == value
        assert type(received) is type(value)
    writer.close()
    with pytest.raises(EOFError):
        reader.get()
    reader.close()


@pytest.mark.parametrize("length", [0, 1, 100, 4_000, 12_500, 1_000_000])
def test_arrays_come_out_as_they_went_in(ends, length):
    writer, reader = ends
    for number in range(5):
        writer.put({"array": np.arange(length) + number, "number": number})
        received = reader.get()

        assert received["number"] == number
        assert np.array_equal(received["array"], np.arange(length) + number)


def test_a_large_array_is_read_in_place_and_stays_when_others_follow(ends):
    writer, reader = ends
    kept = []
    for number in range(100):
        writer.put(LARGE + number)
        kept.append(reader.get())

    assert not any(array.flags.owndata for array in kept[:50])
    assert all(array.flags.writeable for array in kept)
    assert all((array == LARGE + number).all() for number, array in enumerate(kept))
    reader.close()
    assert (kept[0] == LARGE).all()


def test_a_reader_may_write_into_what_it_received(ends):
    writer, reader = ends
    for _ in range(20):
        writer.put(LARGE)
        array = reader.get()
        assert (array == LARGE).all()
        array[:] = 0
        del array


def test_several_buffers_of_an_item_come_in_their_places(ends):
    writer, reader = ends
    arrays = [LARGE, LARGE[::-1].copy(), np.ones(3), np.zeros((300, 400), order="F")]
    writer.put((arrays, "between", arrays))
    received, between, again = reader.get()

    assert between == "between"
    assert all(map(np.array_equal, received, arrays))
    assert all(one is other for one, other in zip(received, again, strict=True))
    assert received[-1].flags.f_contiguous


@pytest.mark.parametrize("item", [lambda: 1, [LARGE, lambda: 1]], ids=["small", "large"])
def test_what_cannot_be_pickled_is_refused_and_nothing_is_sent(ends, item):
    writer, reader = ends
    with pytest.raises(Unsendable, match="pickle"):
        writer.put(item)
    writer.put(["next", -LARGE])

    name, array = reader.get()
    assert name == "next"
    assert (array == -LARGE).all()


@pytest.mark.parametrize("beside", [None, LARGE])
def test_what_cannot_be_unpickled_costs_this_item_only(ends, beside):
    writer, reader = ends
    writer.put((Unreadable(), beside))
    writer.put("next")

    with pytest.raises(ValueError, match="not a number"):
        reader.get()
    assert reader.get() == "next"


# The bound


@pytest.mark.parametrize("item", [7, "x" * 50, LARGE], ids=["small", "text", "by memory"])
@pytest.mark.parametrize("capacity", [*range(1, 17), 31, 64, 71, 72, 100, 128, 129, 250, 500])
def test_exactly_as_many_items_wait_as_the_capacity_says(capacity, item):
    writer, reader = channel(capacity)

    assert fill(writer, item) == capacity
    assert len(empty(reader)) == capacity
    # Each that is taken makes room for one, also for another writer
    other = Writer(os.dup(writer.fileno()))
    assert [fill(end, item) for end in (writer, other)] == [capacity, 0]
    reader.get()
    assert [fill(end, item) for end in (other, writer)] == [1, 0]
    for end in (writer, other, reader):
        end.close()


@pytest.mark.parametrize("size", [1_500, 4_000, 10_000, 30_000, 90_000, 1_000_000])
@pytest.mark.parametrize("capacity", [1, 2, 3, 8, 100, 300])
def test_items_of_any_size_find_room_and_never_more_than_the_capacity(capacity, size):
    writer, reader = channel(capacity)

    assert 1 <= fill(writer, "x" * size) <= capacity
    empty(reader)
    fill(writer, 1)
    reader.get()
    assert fill(writer, "x" * size) == 1
    writer.close()
    reader.close()


def test_items_of_a_kilobyte_count_as_one_where_few_may_wait(ends):
    writer, _ = ends
    assert fill(writer, "x" * 1500) == 8


def test_a_capacity_beyond_what_the_system_allows_is_a_smaller_one():
    writer, reader = channel(10**6)
    assert 500 <= sum(writer.send(writer.pack(n), wait=False) for n in range(600)) <= 600
    writer.close()
    reader.close()


def test_a_capacity_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        channel(0)


def test_the_descriptors_tell_when_to_go_on(ends):
    writer, reader = ends
    poll = select.poll()
    poll.register(writer.fileno(), select.POLLOUT)
    poll.register(reader.fileno(), select.POLLIN)
    assert poll.poll(0) == [(writer.fileno(), select.POLLOUT)]
    fill(writer, 1)
    assert poll.poll(0) == [(reader.fileno(), select.POLLIN)]
    empty(reader)
    assert poll.poll(0) == [(writer.fileno(), select.POLLOUT)]


# The end


def test_there_is_nothing_then_the_end(ends):
    writer, reader = ends
    with pytest.raises(Empty):
        reader.receive(wait=False)
    writer.put(1)
    writer.close()

    assert reader.receive(wait=False) == 1
    for wait in (False, True):
        with pytest.raises(EOFError):
            reader.receive(wait=wait)


@pytest.mark.parametrize("item", [1, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("unread", [0, 3])
def test_writers_are_told_that_nobody_reads_any_more(ends, item, unread):
    writer, reader = ends
    for _ in range(unread):
        writer.put(item)
    reader.close()
    before = open_files()
    for _ in range(3):
        with pytest.raises(Closed):
            writer.put(item)
        with pytest.raises(Closed):
            writer.send(writer.pack(item), wait=False)
        with pytest.raises(Closed):
            writer.put_many([item, item])
    assert open_files() == before


# Several at once


def test_small_ones_share_messages(ends):
    writer, reader = ends
    writer.put_many(range(200))

    assert [reader.get() for _ in range(200)] == list(range(200))
    with pytest.raises(Empty):
        reader.receive(wait=False)
    writer.put_many([])
    with pytest.raises(Empty):
        reader.receive(wait=False)


def test_large_ones_among_many_go_by_themselves(ends):
    writer, reader = ends
    items: list[Any] = [1, LARGE, "two", -LARGE, LARGE[:10]]
    writer.put_many(items)

    for item in items:
        assert np.array_equal(reader.get(), item)


def test_small_ones_share_messages_again_after_large_ones(ends):
    writer, reader = ends
    writer.put_many([LARGE, LARGE])
    assert len(empty(reader)) == 2
    # More messages than eight would not find room
    writer.put_many(range(200))

    assert empty(reader) == list(range(200))


def test_what_many_refer_to_is_one_object_at_the_reader(ends):
    writer, reader = ends
    shared = ["shared"]
    writer.put_many([shared, {"in": shared}])

    first, second = reader.get(), reader.get()
    assert second["in"] is first


def test_those_before_one_that_cannot_be_pickled_are_sent(ends):
    writer, reader = ends
    with pytest.raises(Unsendable):
        writer.put_many([0, 1, 2, lambda: 3, 4])
    writer.put("next")

    assert empty(reader) == [0, 1, 2, "next"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_came_with_others_is_not_there_twice_after_a_fork(ends):
    writer, reader = ends
    writer.put_many(range(3))
    assert reader.get() == 0
    writer.close()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            reader.get()
        except EOFError:
            os.write(write, b"the end")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == b"the end"
    assert [reader.get(), reader.get()] == [1, 2]


# Descriptors


def test_no_descriptors_are_left_behind():
    before = open_files()
    for _ in range(3):
        writer, reader = channel(8)
        kept: list[object] = []
        for _ in range(100):
            kept.clear()
            for item in (1, LARGE, LARGE[:5000]):
                writer.put(item)
                kept.append(reader.get())
        writer.pack(LARGE).close()
        unread = writer.pack(kept)
        writer.send(unread, wait=True)
        unread.close()
        writer.close()
        reader.close()
        writer.close()
        reader.close()
        kept.clear()
    assert open_files() == before


def test_a_reader_that_keeps_everything_does_not_run_out_of_descriptors(ends):
    writer, reader = ends
    before = open_files()
    kept = []
    for number in range(500):
        writer.put((LARGE + number, LARGE - number))
        kept.append(reader.get())

    assert open_files() < before + 200
    assert all((a == LARGE + number).all() for number, (a, _) in enumerate(kept))
    assert all((b == LARGE - number).all() for number, (_, b) in enumerate(kept))


def test_a_large_item_that_finds_no_descriptor_is_an_error_and_the_next_one_comes(ends):
    writer, reader = ends
    messages = [writer.pack(LARGE), writer.pack("small")]
    for message in messages:
        writer.send(message, wait=True)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(OSError, match="a large item was lost on the way") as raised:
            reader.get()
        assert raised.value.errno == errno.EMFILE
        with pytest.raises(OSError, match="Too many open files"):
            writer.pack(LARGE)
        assert reader.get() == "small"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    writer.put(LARGE)
    assert (reader.get() == LARGE).all()


def test_large_items_wait_when_too_many_descriptors_are_on_their_way():
    writer, reader = channel(500)
    with contextlib.closing(reader), contextlib.closing(Processes()) as processes:
        process = processes.start(put_large_ones_as_nobody, writer, 100)
        writer.close()
        sent = process.said()
        assert 50 <= sent <= 200
        # It goes on when some were received, and its last item is behind all the others
        arrays = [reader.get() for _ in range(sent + 1)]
        assert process.ended() == 0
        assert all((array == 0).all() for array in arrays)
        with pytest.raises(EOFError):
            reader.get()


def test_ends_can_be_sent_to_another_process(ends):
    writer, reader = ends
    one, other = socket.socketpair()
    with one, other:
        socket.send_fds(one, [b"x"], [writer.fileno(), reader.fileno()])
        _, fds, _, _ = socket.recv_fds(other, 1, 2)
    its_writer, its_reader = Writer(fds[0]), Reader(fds[1])
    its_writer.put(LARGE)
    writer.put(2)

    assert (reader.get() == LARGE).all()
    assert its_reader.get() == 2
    its_writer.close()
    its_reader.close()
