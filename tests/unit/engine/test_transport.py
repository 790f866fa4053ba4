"""Values through shared memory."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.transport import KEEP, OUT_OF_BAND, Arena, beside_the_pickle


@pytest.fixture
def ends():
    """Both ends of one memory file, as two processes would have them."""
    writer = Arena.create()
    reader = Arena(os.dup(writer.fd))
    yield writer, reader
    writer.close()
    reader.close()


def send(writer, *values):
    for value in values:
        writer.append(value)
    writer.commit(len(values))


@pytest.mark.parametrize("size", [0, 1, OUT_OF_BAND - 1, OUT_OF_BAND, 5_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, lambda size: np.arange(size, dtype=np.uint8)])
def test_buffers_of_any_size_arrive_whole(ends, kind, size):
    writer, reader = ends
    send(writer, {"before": 1, "buffer": kind(size), "after": 2})
    arrived = reader.load()
    assert bytes(arrived["buffer"]) == bytes(kind(size))
    assert (arrived["before"], arrived["after"]) == (1, 2)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(st.tuples(json_like, st.integers(0, 3 * OUT_OF_BAND)), max_size=6))
def test_any_values_arrive_in_order_through_memory_that_is_used_again(values):
    writer = Arena.create()
    reader = Arena(os.dup(writer.fd))
    try:
        for _ in range(2):
            assert writer.reusable
            assert reader.reusable
            writer.clear()
            reader.reset()
            send(writer, *((value, np.full(size, 7, np.uint8)) for value, size in values))
            assert reader.unread == len(values)
            for value, size in values:
                arrived, array = reader.load()
                assert arrived == value
                assert array.sum() == 7 * size
                del array
            assert reader.unread == 0
    finally:
        writer.close()
        reader.close()


def test_a_large_array_is_a_view_of_the_shared_memory(ends):
    writer, reader = ends
    send(writer, np.zeros(OUT_OF_BAND, np.uint8))
    array = reader.load()
    assert array.flags.writeable
    assert not array.flags.owndata
    assert array.ctypes.data % 64 == 0


def test_memory_is_not_used_again_while_somebody_looks_at_it(ends):
    writer, reader = ends
    send(writer, np.arange(OUT_OF_BAND))
    array = reader.load()
    part = array[10:20]
    assert not reader.reusable
    del array
    assert not reader.reusable
    del part
    assert reader.reusable


def test_a_value_can_be_pickled_before_and_copied_out(ends):
    writer, reader = ends
    buffers: list[memoryview] = []
    value = {"array": np.arange(OUT_OF_BAND), "small": bytearray(10)}
    pickled = pickle.dumps(value, 5, buffer_callback=beside_the_pickle(buffers))
    writer.append_pickled(pickled, buffers)
    writer.append_pickled(pickle.dumps("next", 5), [])
    writer.commit(2)

    received = reader.load(copy=True)
    assert reader.load() == "next"
    assert reader.reusable
    assert (received["array"] == value["array"]).all()
    assert received["small"] == bytearray(10)


def test_a_view_survives_its_arena(ends):
    writer, _ = ends
    reader = Arena(os.dup(writer.fd))
    send(writer, np.arange(OUT_OF_BAND))
    array = reader.load()
    reader.close()
    assert array[-1] == OUT_OF_BAND - 1


def test_views_made_before_the_memory_grew_are_remembered(ends):
    writer, reader = ends
    writer.append(np.arange(OUT_OF_BAND))
    writer.commit(1)
    held = reader.load()
    writer.append(np.zeros(10_000_000, np.uint8))
    writer.commit(2)
    assert reader.load().nbytes == 10_000_000
    assert not reader.reusable
    assert held[5] == 5


def test_memory_beyond_measure_is_not_kept(ends):
    writer, _ = ends
    send(writer, np.zeros(KEEP + 1, np.uint8))
    assert not writer.reusable


def test_a_value_that_fails_to_pickle_leaves_no_trace(ends):
    writer, reader = ends
    send(writer, "first")
    end = writer.end
    with pytest.raises((pickle.PicklingError, AttributeError)):
        writer.append([bytes(1_000_000), lambda: None])
    assert writer.end == end
    writer.append("second")
    writer.commit(2)
    assert [reader.load(), reader.load()] == ["first", "second"]


def test_only_committed_blocks_count(ends):
    writer, reader = ends
    writer.append("not yet")
    assert reader.unread == 0
    writer.commit(1)
    assert reader.unread == 1


def test_the_start_of_the_running_call_is_seen_by_the_reader(ends):
    writer, reader = ends
    assert reader.started == 0
    writer.mark_start(12.5)
    assert (reader.started, reader.unread) == (12.5, 0)
    writer.clear()
    assert reader.started == 0


def test_a_block_is_read_once_even_if_it_cannot_be_unpickled(ends):
    writer, reader = ends

    send(writer, Refuses(), "next")
    with pytest.raises(RuntimeError):
        reader.load()
    assert reader.load() == "next"


def test_blocks_that_cannot_be_mapped_are_lost_rather_than_mistaken(ends, monkeypatch):
    writer, reader = ends
    writer.append("small")
    writer.append(bytes(1_000_000))
    writer.append("behind it")
    writer.commit(3)
    assert reader.load() == "small"
    with monkeypatch.context() as no_memory:
        no_memory.setattr("service.engine.transport.mmap.mmap", _fail)
        with pytest.raises(OSError, match="no memory"):
            reader.load()
    with pytest.raises(OSError, match="no memory"):
        reader.load()
    assert reader.unread == 0


def _fail(*_):
    raise OSError("no memory")


class Refuses:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError
