"""The check that a task returns what its type hint says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from service.errors import ConfigurationError
from service.tasks.arrays import Array, Matrix
from service.tasks.contract import InvalidArguments
from service.tasks.testing import check_result


class Point(BaseModel):
    x: int


@dataclass(frozen=True, slots=True)
class Span:
    first: float
    last: float | None = None


class Size(TypedDict):
    width: int


class Unknown:
    pass


def returning(declared: Any, value: Any) -> Callable[..., Any]:
    def task():
        return value

    task.__annotations__ = {"return": declared}
    return task


def yielding(declared: Any, *values: Any) -> Callable[..., Any]:
    def task():
        yield from values

    task.__annotations__ = {"return": declared}
    return task


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (int, 10**30),
        (float, 1),
        (float, np.float64(0.5)),
        (None, None),
        (bytes, b"\xff"),
        (list[Span], [Span(0.0)]),
        (dict[str, Point | None], {"a": Point(x=1), "b": None}),
        (Size, {"width": 1}),
        (Sequence[int], (1, 2)),
        (Iterable[int], {1}),
        (set[str], {"a"}),
        (Any, [1, None]),
    ],
    ids=repr,
)
def test_what_the_hint_says_passes(declared: Any, value: Any) -> None:
    assert check_result(returning(declared, value)) == value


@pytest.mark.parametrize("declared", [Array, npt.NDArray[np.float64], np.ndarray], ids=repr)
def test_arrays_pass_by_any_hint(declared: Any) -> None:
    assert check_result(returning(declared, np.arange(3.0))).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        (int, "1", "valid integer"),
        (int, np.int64(1), "valid integer"),
        (int, None, "valid integer"),
        (None, 1, "None"),
        (list[float], (1.0,), "valid list"),
        (bytes, "text", "valid bytes"),
        (float, float("inf"), "finite"),
        (Span, Span("0"), "first: Input should be a valid number"),  # type: ignore[arg-type]
        (list[Span], [Span(0.0, float("nan"))], "0.last: Input should be a finite number"),
        (Point, Point.model_construct(x="1"), "Expected `int`"),  # type: ignore[arg-type]
        (Size, {"width": 1, "height": 1}, "height: Extra inputs"),
        (Iterable[int], ["a"], "valid integer"),
        (Matrix, np.arange(3.0), "shape"),
        (np.ndarray, [1.0], "instance of ndarray"),
    ],
    ids=repr,
)
def test_anything_else_fails_with_its_place(declared: Any, value: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s)task did not return what its type hint says: .*{said}"):
        check_result(returning(declared, value))


@pytest.mark.parametrize(
    "value",
    [Unknown(), lambda: 1, float("nan"), [np.array([np.inf])], {(1, 2): 3}, 10**5000],
    ids=itertools.count(),
)
@pytest.mark.parametrize("declared", [Any, object], ids=repr)
def test_what_has_no_form_to_be_sent_in_fails(declared: Any, value: Any) -> None:
    with pytest.raises(AssertionError, match="can't be sent"):
        check_result(returning(declared, value))


def test_without_a_hint_only_the_form_is_looked_at() -> None:
    def task():
        return {"a": 1}

    assert check_result(task) == {"a": 1}


def test_each_item_of_a_generator_is_looked_at() -> None:
    assert check_result(yielding(Iterator[Span], Span(0.0), Span(1.0))) == [Span(0.0), Span(1.0)]
    assert check_result(yielding(Iterator, 1, "a")) == [1, "a"]
    with pytest.raises(AssertionError, match="valid integer"):
        check_result(yielding(Iterator[int], 1, "2"))
    with pytest.raises(AssertionError, match="can't be sent"):
        check_result(yielding(Iterator, lambda: 1))


def scale(values: list[float], data: bytes, by: Array, /, *args: Any) -> float:
    return 0.0


def weigh(spans: list[Span], data: bytes, by: Array, factor: float = 2) -> float:
    assert type(spans[0]) is Span
    assert (type(data), type(by)) == (bytes, np.ndarray)
    return float(factor * len(data) * by.sum())


def test_arguments_come_as_over_http() -> None:
    assert check_result(weigh, spans=[Span(0.0)], data=b"\xff", by=np.arange(3)) == 6
    assert check_result(weigh, spans=[{"first": 1}], data=b"", by=[[1]], factor=1) == 0


def test_arguments_that_do_not_fit_are_told() -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_result(weigh, spans=[{"first": "1"}], data=b"", by=1)

    assert [error["loc"] for error in caught.value.errors] == [["spans", 0, "first"], ["by"]]
    assert "Input should be a valid number" in caught.value.__notes__[0]


def test_what_could_not_be_a_task_is_told() -> None:
    with pytest.raises(ConfigurationError):
        check_result(scale)
