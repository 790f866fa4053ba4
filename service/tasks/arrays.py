"""NumPy arrays as arguments and results of tasks.

def mean(values: Array) -> float                                any shape
def invert(matrix: Annotated[np.ndarray, ArrayForm(shape=(3, 3))]) -> Array

JSON nested lists of numbers ─┐
                              ├─> an array that fits ──> task ──> an array ─> JSON or .npy
.npy, the whole body or a file┘

Nothing is unpickled, and nothing is allocated that the body does not hold.
"""

from __future__ import annotations

import functools
import io
import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

#: Elements of one array: 8 bytes each fill the largest body that is taken by default.
MAX_SIZE = 4_194_304

#: Bytes of the header of a .npy file; that of an array of numbers has about 100.
MAX_HEADER = 4096

#: Kinds of NumPy's types that are taken: bools, integers with and without sign, floats.
_KINDS = "biuf"

#: More than NumPy has.
_MAX_DEPTH = 64

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """What an array has to be; stands in ``Annotated`` behind ``np.ndarray``.

    NaN and infinities are refused, for JSON has none.
    """

    #: Length of each dimension, ``None`` for any length; ``None`` alone for any shape.
    shape: tuple[int | None, ...] | None = None
    #: What its elements become: a type of integers, floats or bools. A .npy file may have a narrower one.
    dtype: str = "float64"
    #: Smallest and largest value of an element.
    ge: float | None = None
    le: float | None = None
    #: Most elements.
    max_size: int = MAX_SIZE

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Take nested lists from JSON; from elsewhere .npy and arrays too."""
        return core_schema.json_or_python_schema(
            json_schema=self._from_json(),
            python_schema=core_schema.no_info_plain_validator_function(self._from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(
                np.ndarray.tolist, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the nested lists."""
        if self.shape is None:
            return {"type": "array", "items": {}, "description": "Nested lists of numbers."}
        return handler(self._lists(self.shape))

    def load(self, data: bytes) -> npt.NDArray[Any]:
        """Read a .npy file; raises ``PydanticCustomError`` when it is none, or has another form."""
        shape, fortran_order, found = _header(stream := io.BytesIO(data))
        start = stream.tell()
        if found.kind not in _KINDS or not np.can_cast(found, self.dtype, "safe"):
            raise _error(f"the elements are {found}, which does not fit into {self.dtype}")
        self._check_shape(shape)
        if len(data) - start != math.prod(shape) * found.itemsize:
            raise _error("the .npy file has more or fewer elements than its shape says")
        # A view: a copy is made only of what has another type.
        array = np.ndarray(shape, found, data, start, order="F" if fortran_order else "C")
        return self._check_values(array.astype(self.dtype, copy=False))

    def _from_json(self) -> core_schema.CoreSchema:
        if self.shape is None:
            return core_schema.no_info_plain_validator_function(self._of_any_shape)
        return core_schema.no_info_after_validator_function(self._of_lists, self._lists(self.shape))

    def _from_python(self, value: Any) -> npt.NDArray[Any]:
        if isinstance(value, bytes):
            return self.load(value)
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in _KINDS or not np.can_cast(value.dtype, self.dtype, "safe"):
                raise _error(f"the elements are {value.dtype}, which does not fit into {self.dtype}")
            self._check_shape(value.shape)
            return self._check_values(value.astype(self.dtype, copy=False))
        return self._of_any_shape(value)

    def _of_any_shape(self, value: Any) -> npt.NDArray[Any]:
        depth, inner = 0, value
        while isinstance(inner, list) and depth < _MAX_DEPTH:
            depth += 1
            inner = inner[0] if inner else None
        if not depth:
            raise _error("Input should be an array: nested lists of numbers in JSON, or a .npy file")
        shape = (None,) * depth if self.shape is None else self.shape
        return self._of_lists(_validator(self, shape).validate_python(value))

    def _lists(self, shape: tuple[int | None, ...]) -> core_schema.CoreSchema:
        schema = self._element()
        for length in reversed(shape):
            schema = core_schema.list_schema(
                schema, strict=True, min_length=length, max_length=self.max_size if length is None else length
            )
        return schema

    def _element(self) -> core_schema.CoreSchema:
        kind = np.dtype(self.dtype).kind
        if kind == "b":
            return core_schema.bool_schema(strict=True)
        if kind == "f":
            return core_schema.float_schema(strict=True, allow_inf_nan=False, ge=self.ge, le=self.le)
        low, high = (None if bound is None else int(bound) for bound in (self.ge, self.le))
        return core_schema.int_schema(strict=True, ge=low, le=high)

    def _of_lists(self, lists: list[Any]) -> npt.NDArray[Any]:
        try:
            with np.errstate(over="ignore"):
                array = np.array(lists, self.dtype)
        except (ValueError, OverflowError):
            raise _error(
                f"Input should be lists of equal lengths, of numbers that fit into {self.dtype}"
            ) from None
        self._check_shape(array.shape)
        return self._check_values(array)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if math.prod(shape) > self.max_size:
            raise _error(f"Input should have at most {self.max_size} elements")
        if self.shape is not None and (
            len(shape) != len(self.shape)
            or any(want not in (None, length) for length, want in zip(shape, self.shape, strict=True))
        ):
            wanted = " x ".join("any" if length is None else str(length) for length in self.shape)
            raise _error(f"Input should have the shape {wanted}, not {' x '.join(map(str, shape))}")

    def _check_values(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _error("Input should hold finite numbers only")
        if (self.ge is not None and (array < self.ge).any()) or (
            self.le is not None and (array > self.le).any()
        ):
            low, high = ("any" if bound is None else f"{bound:g}" for bound in (self.ge, self.le))
            raise _error(f"Input should hold numbers from {low} to {high} only")
        return array


#: An array of any shape, of float64.
Array = Annotated[npt.NDArray[np.float64], ArrayForm()]

#: A matrix of float64, of any height and width.
Matrix = Annotated[npt.NDArray[np.float64], ArrayForm(shape=(None, None))]


def dump(array: npt.NDArray[Any]) -> bytes:
    """Write a .npy file; raises ``ValueError`` for what only a pickle could hold."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        # Version 3 is for names of fields in other alphabets, and an array of numbers has no fields.
        read = _READERS[np.lib.format.read_magic(stream)]
        shape, fortran_order, found = read(stream, max_header_size=MAX_HEADER)
    except Exception:  # noqa: BLE001 - the header is a Python literal: a bad one can raise nearly anything
        raise _error("Input should be a .npy file of numbers, and its header can't be read") from None
    if len(shape) > _MAX_DEPTH or any(type(length) is not int or length < 0 for length in shape):
        raise _error("the .npy file has an impossible shape")
    return shape, fortran_order, found


@functools.lru_cache(maxsize=128)
def _validator(form: ArrayForm, shape: tuple[int | None, ...]) -> SchemaValidator:
    return SchemaValidator(form._lists(shape))  # noqa: SLF001 - a method, were it not for the cache


def _error(message: str) -> PydanticCustomError:
    # It takes braces for places to fill.
    return PydanticCustomError("array", message.replace("{", "{{"))
