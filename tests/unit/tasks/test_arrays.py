"""NumPy arrays as arguments: from JSON, from .npy files, and from hostile ones."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pytest

from service.tasks import contract, registry
from service.tasks.arrays import MAX_HEADER, MAX_SIZE, Array, ArrayForm, Matrix, dump
from service.tasks.contract import Contract, InvalidArguments


def anything(a: Array) -> Array:
    return a


def matrix(a: Matrix) -> float:
    return float(a.sum())


def pixels(a: Annotated[np.ndarray, ArrayForm(shape=(None, 2), dtype="uint8", ge=1, le=200)]) -> int:
    return int(a.sum())


def small(a: Annotated[np.ndarray, ArrayForm(shape=(None,), dtype="uint8")]) -> int:
    return int(a.sum())


def unit(a: Annotated[np.ndarray, ArrayForm(ge=-1, le=1)]) -> float:
    return float(a.sum())


def flags(a: Annotated[np.ndarray, ArrayForm(shape=(None,), dtype="bool")]) -> int:
    return int(a.sum())


def narrow(a: Annotated[np.ndarray, ArrayForm(shape=(None,), dtype="float32", max_size=3)]) -> int:
    return int(a.sum())


def two(a: Matrix, b: Matrix, scale: float = 1) -> Matrix:
    return scale * a @ b


def optional(a: Matrix, b: Matrix | None = None) -> None: ...


def none(n: int) -> int:
    return n


def build(function: Callable[..., Any]) -> Contract:
    return contract.build(registry.Task(function.__name__, function, 1, None, "text/plain"))


def saved(array: np.ndarray, version: tuple[int, int] | None = None, *, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version, allow_pickle=allow_pickle)
    return out.getvalue()


def npy(header: bytes, data: bytes = b"", version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """A .npy file with this header, and what it announces as the header's length."""
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + version + size + header + data


def header(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


def messages(function: Callable[..., Any], data: bytes) -> list[str]:
    with pytest.raises(InvalidArguments) as caught:
        build(function).validate_text({"a": data})
    assert all(error["loc"][0] == "a" for error in caught.value.errors)
    return [error["msg"] for error in caught.value.errors]


class TestJson:
    """Nested lists of numbers become arrays."""

    @pytest.mark.parametrize(
        ("function", "raw", "expected"),
        [
            (anything, b"[1, 2.5]", np.array([1, 2.5])),
            (anything, b"[]", np.zeros(0)),
            (anything, b"[[[1, 2], [3, 4]]]", np.array([[[1.0, 2], [3, 4]]])),
            (matrix, b"[[1, 2, 3]]", np.array([[1.0, 2, 3]])),
            (matrix, b"[[], []]", np.zeros((2, 0))),
            (pixels, b"[[1, 2], [3, 200]]", np.array([[1, 2], [3, 200]], np.uint8)),
            (flags, b"[true, false]", np.array([True, False])),
            (narrow, b"[0.5]", np.array([0.5], np.float32)),
        ],
    )
    def test_lists_become_an_array(
        self, function: Callable[..., Any], raw: bytes, expected: np.ndarray
    ) -> None:
        found = build(function).validate_json(b'{"a": ' + raw + b"}")["a"]

        assert (found.dtype, found.shape, found.tolist()) == (
            expected.dtype,
            expected.shape,
            expected.tolist(),
        )

    @pytest.mark.parametrize(
        ("function", "raw", "loc"),
        [
            (anything, b"1", ["a"]),
            (anything, b"null", ["a"]),
            (anything, b'"x"', ["a"]),
            (anything, b'{"0": 1}', ["a"]),
            (anything, b'[1, "2"]', ["a", 1]),
            (anything, b"[1, true]", ["a", 1]),
            (anything, b"[1, null]", ["a", 1]),
            (anything, b"[1, [2]]", ["a", 1]),
            (anything, b"[[1], 2]", ["a", 1]),
            (anything, b"[[1], [1, 2]]", ["a"]),
            (anything, b"[1e999]", ["a", 0]),
            (anything, b"[" * 100 + b"]" * 100, ["a"]),
            (anything, b"[" * 64 + b"1" + b"]" * 64, None),
            (anything, b"[" * 65 + b"1" + b"]" * 65, ["a"]),
            (matrix, b"[1]", ["a", 0]),
            (matrix, b"[]", ["a"]),
            (matrix, b"[[[1]]]", ["a", 0, 0]),
            (matrix, b"[[1, 2], [3]]", ["a"]),
            (pixels, b"[[1, 2.0]]", ["a", 0, 1]),
            (small, b"[1, 256]", ["a"]),
            (small, b"[1, -1]", ["a"]),
            (small, b"[1, 1000000000000000000000000000000]", ["a"]),
            (pixels, b"[[1, 0]]", ["a", 0, 1]),
            (pixels, b"[[1, 201]]", ["a", 0, 1]),
            (unit, b"[1, 1.01]", ["a", 1]),
            (pixels, b"[[1, 2, 3]]", ["a", 0]),
            (flags, b"[1]", ["a", 0]),
            (narrow, b"[1e39]", ["a"]),
            (narrow, b"[1, 2, 3, 4]", ["a"]),
        ],
    )
    def test_anything_else_is_refused_with_its_place(
        self, function: Callable[..., Any], raw: bytes, loc: list[Any] | None
    ) -> None:
        wanted = build(function)
        if loc is None:
            assert wanted.validate_json(b'{"a": ' + raw + b"}")["a"].ndim == 64
            return

        with pytest.raises(InvalidArguments) as caught:
            wanted.validate_json(b'{"a": ' + raw + b"}")

        assert caught.value.errors[0]["loc"][: len(loc)] == loc

    def test_the_schema_tells_of_nested_lists(self) -> None:
        number = {"type": "number"}
        row = {"type": "array", "maxItems": MAX_SIZE, "items": number}

        assert build(matrix).arguments["properties"]["a"] == {
            "type": "array",
            "title": "A",
            "maxItems": MAX_SIZE,
            "items": row,
        }
        assert build(two).result == {"type": "array", "maxItems": MAX_SIZE, "items": row}
        assert build(anything).arguments["properties"]["a"]["items"] == {}
        assert build(pixels).arguments["properties"]["a"]["items"] == {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": "integer", "minimum": 1, "maximum": 200},
        }


class TestNpy:
    """.npy files become arrays, if they are what they say."""

    @pytest.mark.parametrize("version", [(1, 0), (2, 0)])
    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6.0).reshape(2, 3),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.arange(6, dtype=">f8").reshape(3, 2),
            np.arange(4, dtype="int32"),
            np.array([True, False]),
            np.float64(3.5),
            np.zeros((0, 5)),
            np.zeros((5, 0), order="F"),
            np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::2],
        ],
    )
    def test_a_file_becomes_the_array_that_was_saved(
        self, array: np.ndarray, version: tuple[int, int]
    ) -> None:
        found = build(anything).validate_text({"a": saved(np.asarray(array), version)})["a"]

        assert (found.dtype, found.shape) == (np.float64, np.shape(array))
        np.testing.assert_array_equal(found, array)

    def test_what_is_written_can_be_read(self) -> None:
        array = np.arange(6.0).reshape(2, 3)

        np.testing.assert_array_equal(np.load(io.BytesIO(dump(array)), allow_pickle=False), array)
        np.testing.assert_array_equal(build(anything).validate_text({"a": dump(array)})["a"], array)

    def test_an_array_of_objects_is_not_written(self) -> None:
        with pytest.raises(ValueError, match="Object arrays"):
            dump(np.array([object()]))

    def test_a_file_of_the_wanted_type_is_not_copied(self) -> None:
        data = saved(np.zeros(1_000_000))

        tracemalloc.start()
        try:
            found = build(anything).validate_text({"a": data})["a"]
            # Whether its numbers are finite takes a byte for each.
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
        assert not found.flags.owndata

    @pytest.mark.parametrize(
        ("function", "array", "complaint"),
        [
            (anything, np.array([1 + 2j]), "complex128, which does not fit into float64"),
            (anything, np.array([np.nan]), "finite numbers only"),
            (anything, np.array([-np.inf]), "finite numbers only"),
            (anything, np.array(["x"]), "does not fit"),
            (anything, np.array(["2026-11-23"], "M8[D]"), "does not fit"),
            (anything, np.zeros(2, [("x", "f8")]), "does not fit"),
            (anything, np.zeros(2, np.longdouble), "does not fit"),
            (matrix, np.zeros(4), "shape any x any, not 4"),
            (matrix, np.float64(1), "shape any x any, not "),
            (pixels, np.ones((2, 3), np.uint8), "shape any x 2, not 2 x 3"),
            (pixels, np.ones((2, 2)), "float64, which does not fit into uint8"),
            (pixels, np.ones((2, 2), np.int64), "int64, which does not fit into uint8"),
            (pixels, np.zeros((2, 2), np.uint8), "from 1 to 200"),
            (unit, np.array([0, -1.5]), "from -1 to 1"),
            (flags, np.ones(2, np.uint8), "does not fit into bool"),
            (narrow, np.zeros(4, np.float32), "at most 3 elements"),
            (narrow, np.zeros(2), "float64, which does not fit into float32"),
        ],
    )
    def test_an_array_of_another_form_is_refused(
        self, function: Callable[..., Any], array: np.ndarray, complaint: str
    ) -> None:
        (message,) = messages(function, saved(np.asarray(array)))

        assert complaint in message

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x93NUMPY",
            b"\x93NUMPY\1\0",
            b"no array at all, but long enough for one",
            b"PK\3\4" + b"\0" * 100,
            pickle.dumps(np.zeros(3)),
            saved(np.zeros(3))[:-1],
            saved(np.zeros(3)) + b"\0",
            saved(np.zeros(3))[:60],
            saved(np.array([{}], object), allow_pickle=True),
            npy(header("(2,)", "'|O'"), pickle.dumps([1, 2])),
            npy(header("(1000000000000,)")),
            npy(header("(4611686018427387904, 4)")),
            npy(header(f"({10**30},)")),
            npy(header(f"({10**30}, 0)")),
            npy(header("(0, -1)")),
            npy(header("(-1,)"), bytes(8)),
            npy(header("(-2, -2)"), bytes(32)),
            npy(header("(2.0,)"), bytes(16)),
            npy(header("2"), bytes(16)),
            npy(header("(" + "1," * 100 + ")"), bytes(8)),
            npy(header("(2,)", "'<f8'", "1"), bytes(16)),
            npy(header("(2,)", "'nonsense'"), bytes(16)),
            npy(header("(2,)", "'<f8, <f8'"), bytes(32)),
            npy(header("(2,)", "('<f8', (2,))"), bytes(32)),
            npy(header("(2,)", "'|V8'"), bytes(16)),
            npy(header("(2,)", "'|S0'"), b""),
            npy(header("(2,)", "'<f0'"), b""),
            npy(header("(2,)", "__import__('os').abort()"), bytes(16)),
            npy(b"(" * (MAX_HEADER - 1)),
            npy(b"[" * 300 + b"]" * 300),
            npy(b"-" * (MAX_HEADER - 1) + b"1"),
            npy(b"\xff" * 100),
            npy(b"\0" * 100),
            npy(b"{}"),
            npy(header("(0,)")[:-1] + b" " * MAX_HEADER),
            npy(header("(0,)"), length=65535),
            npy(header("(0,)"), version=b"\2\0", length=2**32 - 1),
            npy(header("(0,)"), version=b"\3\0"),
            npy(header("(0,)"), version=b"\xff\xff"),
        ],
    )
    @pytest.mark.filterwarnings("default")
    def test_a_hostile_file_is_refused_and_takes_no_memory(self, data: bytes) -> None:
        wanted = build(anything)
        tracemalloc.start()
        try:
            with pytest.raises(InvalidArguments) as caught:
                wanted.validate_text({"a": data})
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
        assert [error["loc"] for error in caught.value.errors] == [["a"]]

    def test_text_is_no_array(self) -> None:
        with pytest.raises(InvalidArguments, match="don't fit"):
            build(anything).validate_text({"a": "[1, 2]"})


class TestContract:
    """A contract knows which parameters are arrays, and which one a raw body fills."""

    @pytest.mark.parametrize(
        ("function", "arrays", "array", "returned"),
        [
            (anything, ("a",), "a", True),
            (matrix, ("a",), "a", False),
            (pixels, ("a",), "a", False),
            (two, ("a", "b"), None, True),
            (optional, ("a",), "a", False),
            (none, (), None, False),
        ],
    )
    def test_it_tells(
        self, function: Callable[..., Any], arrays: tuple[str, ...], array: str | None, *, returned: bool
    ) -> None:
        found = build(function)

        assert (found.arrays, found.array, found.returns_array) == (arrays, array, returned)

    def test_an_array_that_may_be_left_out_may_be_given(self) -> None:
        given = build(optional).validate_text({"a": dump(np.ones((1, 1))), "b": dump(np.ones((2, 2)))})

        assert {name: array.shape for name, array in given.items()} == {"a": (1, 1), "b": (2, 2)}

    def test_an_array_that_is_one_already_is_checked_too(self) -> None:
        wanted = build(pixels)

        assert wanted.validate_text({"a": np.ones((1, 2), np.uint8)})["a"].sum() == 2
        assert wanted.validate_text({"a": [[1, 2]]})["a"].dtype == np.uint8
        for array in (np.ones((1, 3), np.uint8), np.ones((1, 2)), np.array([[None, None]])):
            with pytest.raises(InvalidArguments):
                wanted.validate_text({"a": array})
