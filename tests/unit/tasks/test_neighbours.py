"""Which types of a step's results the next one takes."""

from __future__ import annotations

import enum
import subprocess
import sys
import typing
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    Never,
    NewType,
    Optional,
    Protocol,
    TypeVar,
    Union,
    runtime_checkable,
)

import numpy as np
import numpy.typing as npt
import pytest
import typing_extensions
from pydantic import BaseModel, Field

from service.tasks.arrays import Array, ArrayForm, Matrix
from service.tasks.neighbours import fits, mismatch, name_of
from service.tasks.stages import Kind, Step

Item = TypeVar("Item")
Number = TypeVar("Number", bound=float)
TextOrBytes = TypeVar("TextOrBytes", str, bytes)
UserId = NewType("UserId", int)


@dataclass
class Line:
    text: str


class LongLine(Line):
    pass


class Model(BaseModel):
    n: int


class Row(NamedTuple):
    key: str
    number: int


class Size(typing.TypedDict):
    width: int


class ExtendedSize(typing_extensions.TypedDict):
    width: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Closes(Protocol):
    def close(self) -> None: ...


@runtime_checkable
class Opens(Protocol):
    def open(self) -> None: ...


class File:
    def open(self) -> None: ...

    def close(self) -> None: ...


class Box(Generic[Item]):
    pass


class Numbers(list[int]):
    pass


Positive = Annotated[int, Field(ge=0)]

FITTING = [
    # the same, and derived ones
    (int, int),
    (Line, Line),
    (LongLine, Line),
    (Model, Model),
    (bool, int),
    (Row, tuple),
    (None, None),
    (list[Line], list[Line]),
    # nothing known, or nothing wanted
    (Any, int),
    (int, Any),
    (int, object),
    (Never, int),
    (list[Any], list[int]),
    (list[int], list[Any]),
    (list, list[int]),
    (list[int], list),
    (dict, dict[str, int]),
    (tuple, tuple[int, str]),
    (tuple[Any, ...], tuple[int, str]),
    (Iterable, Iterable[int]),
    (Box, Box[int]),
    (Box[int], Box),
    (Numbers, list[int]),
    # numbers
    (int, float),
    (bool, float),
    (int, complex),
    (float, complex),
    (list[int], list[float]),
    (dict[str, list[int]], dict[str, list[float]]),
    (tuple[str, int | None], tuple[str, float | None]),
    (np.float64, float),
    # bytes
    (bytearray, bytes),
    (memoryview, bytes),
    (list[bytearray], list[bytes]),
    (bytes | bytearray, bytes | None),
    # unions and literals
    (int, int | str),
    (int | str, int | str | None),
    (int | str, Union[float, str]),  # noqa: UP007 - the older form
    (Optional[int], float | None),  # noqa: UP045 - the same
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal[1], float),
    (Literal[Colour.RED], Colour),
    (LiteralString, str),
    (bytes, bytes | list[bytes]),
    (list[bytes], bytes | list[bytes]),
    # names for types
    (UserId, int),
    (UserId, UserId),
    (Positive, int),
    (int, Positive),
    (Positive, Annotated[float, Field(ge=1)]),
    (list[Positive], list[int]),
    (list[int], list[Positive]),
    (Item, int),
    (int, Item),
    (int, Number),
    (Number, float),
    (str, TextOrBytes),
    (Item, Item),
    # containers
    (list[int], Sequence[float]),
    (list[int], Collection[int]),
    (tuple[int, int], tuple[int, ...]),
    (tuple[int, int], tuple[float, float]),
    (tuple[int, int], Sequence[int]),
    (tuple[int, ...], Sequence[float]),
    (dict[str, int], Mapping[str, float]),
    (str, Sequence[str]),
    (str, Iterable[str]),
    (bytes, Sequence[int]),
    (range, Sequence[int]),
    (Row, tuple[str, int]),
    (Iterator[int], Iterable[int]),
    (typing.List[int], list[int]),  # noqa: UP006 - as it was written before Python 3.9
    (typing.Dict[str, int], Mapping[str, int]),  # noqa: UP006
    # dictionaries with known members
    (Size, Size),
    (ExtendedSize, ExtendedSize),
    (Size, dict),
    (Size, dict[str, Any]),
    (list[Size], list[Size]),
    # what something can do
    (File, Opens),
    (File, Closes),
    (Callable[[int], str], Callable[[int], str]),
    # arrays
    (Array, Array),
    (Array, Matrix),
    (Matrix, np.ndarray),
    (np.ndarray, Matrix),
    (npt.NDArray[np.uint8], Annotated[np.ndarray, ArrayForm(dtype="uint8")]),
    (npt.NDArray[np.float64], npt.NDArray[Any]),
    (list[Array], list[Array]),
    # no types at all: nobody can tell
    (5, int),
    (int, "number"),
]

UNFIT = [
    (float, int),
    (str, int),
    (int, str),
    (int, None),
    (None, int),
    (object, int),
    (Line, LongLine),
    (Line, str),
    (Model, dict),
    (int | str, int),
    (int | None, int),
    (Literal["a", "b"], Literal["a"]),
    (str, Literal["a"]),
    (Colour, str),
    (int, UserId),
    (Positive, str),
    (list[Positive], list[str]),
    (str, Number),
    (int, TextOrBytes),
    (list[int], list[str]),
    (list[int], int),
    (int, list[int]),
    (list, int),
    (Sequence[int], list[int]),
    (list[Line], list[LongLine]),
    (tuple[int, str], Sequence[int]),
    (tuple[bytes, str], tuple[bytes, str, int]),
    (tuple[int, ...], tuple[int, int]),
    (str, list[str]),
    (str, Sequence[int]),
    (str, bytes),
    (bytes, bytearray),
    (bytearray, str),
    (Mapping[str, int], dict[str, int]),
    (dict[str, int], dict[str, str]),
    (Box[int], Box[str]),
    (str, Size),
    (Size, int),
    (Size, list[str]),
    (Line, Opens),
    (Array, int),
    (Array, list[float]),
    (list[float], Array),
    (list[Array], list[Line]),
]


@pytest.mark.parametrize(("gives", "takes"), FITTING, ids=repr)
def test_what_fits(gives: Any, takes: Any) -> None:
    assert fits(gives, takes)


@pytest.mark.parametrize(("gives", "takes"), UNFIT, ids=repr)
def test_what_does_not(gives: Any, takes: Any) -> None:
    assert not fits(gives, takes)


def test_the_library_is_imported_only_for_types_that_differ() -> None:
    code = """
import sys
from typing import Any
from service.tasks.neighbours import fits
seen = [fits(int, int), fits(int, Any), fits(bytes, bytes | str), "beartype" in sys.modules]
print(*seen, fits(int, str), "beartype" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["True", "True", "True", "False", "False", "True"]


def step(kind: Kind, takes: Any, gives: Any, name: str = "step") -> Step:
    return Step(
        name=name,
        function=len,
        kind=kind,
        processes=1,
        ordered=True,
        cpu=1,
        timeout=None,
        takes=takes,
        gives=gives,
        sink=False,
        keeps_turns=False,
    )


class TestWords:
    @pytest.mark.parametrize(
        ("hint", "name"),
        [
            (int, "int"),
            (Line, "Line"),
            (Any, "Any"),
            (type(None), "None"),
            (int | None, "int | None"),
            (list[int], "list[int]"),
            (Positive, "int"),
            (Literal["a"], "Literal['a']"),
        ],
    )
    def test_a_type_reads_as_it_was_written(self, hint: Any, name: str) -> None:
        assert name_of(hint) == name

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (
                step(Kind.PRODUCE, None, Line, "read"),
                step(Kind.EACH, str, str, "parse"),
                "producer 'read' gives Line, but stage 'parse' takes str",
            ),
            (
                step(Kind.SPREAD, str, Line, "parse"),
                step(Kind.WHOLE, str, int, "aggregate"),
                "stage 'parse' gives Line, but stage 'aggregate' takes an iterator of str",
            ),
        ],
    )
    def test_a_mismatch_names_both_steps_and_both_types(self, before: Step, after: Step, words: str) -> None:
        assert mismatch(before, after) == words

    @pytest.mark.parametrize(
        "takes",
        [
            list[int],
            tuple[int, ...],
            Sequence[int],
            Collection[int] | None,
            Iterator[int] | None,
            Optional[Iterable[int]],  # noqa: UP045 - the older form
            Generator[int, None, None],
            Annotated[list[int], "all"],
        ],
    )
    def test_a_stage_that_seems_to_want_all_items_is_told_how(self, takes: Any) -> None:
        words = mismatch(step(Kind.PRODUCE, None, bool, "read"), step(Kind.EACH, takes, Any, "total"))

        assert words.startswith("producer 'read' gives bool, but stage 'total' takes ")
        assert words.endswith("; Iterator[int] would take all items")

    @pytest.mark.parametrize(
        ("kind", "takes"),
        [
            (Kind.EACH, list[int]),
            (Kind.EACH, dict[str, int]),
            (Kind.EACH, tuple[str, int]),
            (Kind.EACH, bytes),
            (Kind.WHOLE, list[str]),
        ],
    )
    def test_one_that_could_not_have_them_so_is_not(self, kind: Kind, takes: Any) -> None:
        words = mismatch(step(Kind.PRODUCE, None, str, "read"), step(kind, takes, Any, "total"))

        assert "would take all items" not in words

    def test_types_of_one_name_are_told_apart(self) -> None:
        other = type("Line", (), {"__module__": "elsewhere"})

        words = mismatch(step(Kind.EACH, Any, Line, "a"), step(Kind.EACH, other, Any, "b"))

        assert words == f"stage 'a' gives {__name__}.Line, but stage 'b' takes elsewhere.Line"
