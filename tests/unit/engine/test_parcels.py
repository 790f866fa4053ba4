"""An item says which one it is before anything of it is unpacked."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.items import Unsendable
from service.engine.parcels import Lost, Parcel, Unreadable, pack
from service.engine.transport import OUT_OF_BAND

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


def sent(number, place, content, buffers):
    """Return a parcel that went through a channel, as far as pickling goes."""
    beside: list[pickle.PickleBuffer] = []
    message = pickle.dumps((number, place, content, buffers), 5, buffer_callback=beside.append)
    return Parcel(*pickle.loads(message, buffers=[memoryview(b.raw()) for b in beside]))


@given(anything)
def test_a_value_comes_out_as_it_went_in(value):
    parcel = sent(3, 4, *pack(value))
    assert (parcel.number, parcel.place) == (3, 4)
    assert parcel.unpack() == value


@pytest.mark.parametrize("length", [1, OUT_OF_BAND // 8 - 1, OUT_OF_BAND // 8, 100_000])
def test_large_buffers_go_beside_it(length):
    array = np.arange(length, dtype=np.float64)
    content, buffers = pack({"here": array, "and": b"there"})
    assert len(buffers) == (array.nbytes >= OUT_OF_BAND)
    value = sent(0, 0, content, buffers).unpack()
    assert value["and"] == b"there"
    assert np.array_equal(value["here"], array)
    value["here"][0] = 5  # what was writable is


def test_a_long_pickle_is_a_buffer_itself():
    content, buffers = pack("x" * OUT_OF_BAND)
    assert isinstance(content, pickle.PickleBuffer)
    assert not buffers
    assert sent(0, 0, content, buffers).unpack() == "x" * OUT_OF_BAND


class Grudge:
    """Can't be unpacked."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise KeyError("I stay packed")


class Heavy:
    """Takes more memory to be unpacked than there is."""

    def __reduce__(self):
        return bytearray, (1 << 60,)


def test_which_one_it_is_can_be_read_if_nothing_else_can():
    parcel = sent(8, 9, *pack(Grudge()))
    assert (parcel.number, parcel.place) == (8, 9)
    with pytest.raises(Unreadable, match="KeyError: 'I stay packed'"):
        parcel.unpack()


def test_what_can_not_be_packed():
    with pytest.raises(Unsendable, match="pickle"):
        pack(lambda: None)


def test_a_lack_of_memory_is_no_fault_of_the_value():
    with pytest.raises(MemoryError):
        sent(0, 0, *pack(Heavy())).unpack()


def test_what_became_of_one_that_is_left_out_goes_in_its_place():
    lost = Lost(2, 1, ("ValueError", "no", "", ()))
    parcel = sent(5, 6, lost, ())
    assert (parcel.number, parcel.place, parcel.content) == (5, 6, lost)
    assert isinstance(parcel.content, Lost)
