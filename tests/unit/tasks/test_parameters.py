"""Parameters of tasks: their defaults, validators of a user's own, and hints that can't be served."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import pytest
from pydantic import AfterValidator, BaseModel, Field

from service.errors import ConfigurationError, TaskFailed
from service.tasks import contract, registry, strict_json
from service.tasks.contract import Contract, InvalidArguments


def taking(annotation: Any, *default: Any) -> Contract:
    """Return the contract of a task with one argument ``v`` of that type."""

    def task(v):
        return v

    task.__annotations__ = {"v": annotation}
    task.__defaults__ = default
    return contract.build(registry.Task("task", task, 1, None, "text/plain"))


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Span:
    first: float
    last: float = 1.0


def even(n: int) -> int:
    if n % 2:
        raise ValueError("it is odd")
    return n


# ------------------------------------------------------------------------------------------- validators


class Unspeakable(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def breaking(error: BaseException) -> Any:
    def check(value: int) -> int:
        raise error

    return Annotated[int, AfterValidator(check)]


def recursing(value: int) -> int:
    return recursing(value)


@pytest.mark.parametrize(
    ("hint", "exception"),
    [
        (breaking(RuntimeError("secret")), "RuntimeError"),
        (breaking(KeyError("secret")), "KeyError"),
        (breaking(TypeError("secret")), "TypeError"),
        (breaking(StopIteration()), "StopIteration"),
        (breaking(Unspeakable()), "RuntimeError"),
        (breaking(ValueError("\ud800")), "UnicodeEncodeError"),
        (Annotated[int, AfterValidator(recursing)], "RecursionError"),
    ],
    ids=itertools.count(),
)
def test_a_validator_that_breaks_is_the_tasks_failure(hint: Any, exception: str) -> None:
    wanted = taking(hint)

    for validate in (partial(wanted.validate_json, b'{"v": 1}'), partial(wanted.validate_text, {"v": "1"})):
        with pytest.raises(TaskFailed) as caught:
            validate()
        assert caught.value.exception == exception
        assert "Traceback" in caught.value.traceback
        assert "Traceback" not in str(caught.value)


def test_a_validator_refuses_by_valueerror_and_assertion() -> None:
    for error in (ValueError("{no}"), AssertionError("{no}")):
        with pytest.raises(InvalidArguments) as caught:
            taking(breaking(error)).validate_json(b'{"v": 1}')
        assert "{no}" in caught.value.errors[0]["msg"]


# --------------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    ("hint", "default", "shown"),
    [
        (int, 3, 3),
        (dt.timedelta, dt.timedelta(hours=1), "PT1H"),
        (set[int], {2, 1}, [1, 2]),
        (bytes, b"\xff", "_w=="),
        (Colour, Colour.RED, "red"),
        (int | None, None, None),
        (Span, Span(0, 1), {"first": 0.0, "last": 1.0}),
    ],
    ids=itertools.count(),
)
def test_a_default_is_shown_as_it_would_be_sent(hint: Any, default: Any, shown: Any) -> None:
    wanted = taking(hint, default)

    assert json.loads(strict_json.dumps(wanted.arguments["properties"]["v"]["default"])) == shown
    assert wanted.validate_json(b"{}") == {}


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (int, None),
        (int, "3"),
        (int, object()),
        (Annotated[int, Field(ge=1)], 0),
        (float, math.inf),
        (float, math.nan),
        (list[float], [math.inf]),
        (breaking(RuntimeError()), 1),
        (Annotated[int, AfterValidator(even)], 1),
    ],
    ids=itertools.count(),
)
def test_a_default_that_could_not_be_sent_is_the_functions_own_affair(hint: Any, default: Any) -> None:
    wanted = taking(hint, default)

    assert "default" not in wanted.arguments["properties"]["v"]
    assert "v" not in wanted.arguments.get("required", [])
    assert wanted.validate_json(b"{}") == {}
    strict_json.dumps(wanted.arguments)


class Unbounded(BaseModel):
    limit: float = math.inf
    marker: Any = object()


def test_a_models_default_that_json_does_not_have_is_left_out() -> None:
    def task(v: Unbounded) -> Unbounded:
        return v

    wanted = contract.build(registry.Task("task", task, 1, None, "text/plain"))

    for schema in (wanted.arguments["$defs"]["Unbounded"], wanted.result):
        strict_json.dumps(schema)
        assert not any("default" in member for member in schema["properties"].values())


# -------------------------------------------------------------------------------- what can't be a hint


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (Annotated[int, Field(default=3)], "the default of v belongs behind ="),
        (Annotated[list[int], Field(default_factory=list)], "the default of v belongs behind ="),
        (ClassVar[int], "v can't be a ClassVar or Final"),
        (list[Iterable[int]], "say list or Sequence"),
        (Iterable[int] | None, "say list or Sequence"),
        (Iterator[int], "Iterator"),
        (Callable[[int], int], "Callable"),
        (Annotated[str, Field(pattern="(?=a)")], "look-around"),
        (bytearray, "bytearray"),
        (type, "type"),
    ],
    ids=itertools.count(),
)
def test_a_hint_that_cannot_be_checked_is_refused_at_the_start(hint: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        taking(hint)

    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{__file__}:")


def test_a_final_parameter_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        taking(Final[int], 3)
