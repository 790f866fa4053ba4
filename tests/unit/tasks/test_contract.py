"""Type hints as the contract of a task."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from service.errors import ConfigurationError
from service.tasks import contract, registry
from service.tasks.contract import Contract, InvalidArguments, MalformedJson


class Point(BaseModel):
    x: int
    y: int = 0


@dataclass
class Span:
    first: float
    last: float


def many_kinds(
    n: Annotated[int, Field(ge=0, le=9)],
    ratio: float = 0.5,
    name: str | None = None,
    mode: Literal["fast", "exact"] = "fast",
    points: list[Point] = [],  # noqa: B006 - a default that must not travel
    span: Span | None = None,
    day: dt.date | None = None,
) -> dict[str, Any]:
    """Take one of each."""
    return {}


def build(function: Callable[..., Any]) -> Contract:
    return contract.build(registry.Task(function.__name__, function, 1, None, "text/plain"))


@pytest.fixture
def kinds() -> Contract:
    return build(many_kinds)


def errors_of(wanted: Contract, raw: bytes) -> list[tuple[Any, ...]]:
    with pytest.raises(InvalidArguments) as caught:
        wanted.validate_json(raw)
    return [tuple(error["loc"]) for error in caught.value.errors]


def test_arguments_become_what_the_hints_say(kinds: Contract) -> None:
    raw = b"""{"n": 3, "ratio": 1, "name": "x", "mode": "exact", "points": [{"x": 1}],
               "span": {"first": 0.5, "last": 1}, "day": "2026-11-23"}"""

    assert kinds.validate_json(raw) == {
        "n": 3,
        "ratio": 1.0,
        "name": "x",
        "mode": "exact",
        "points": [Point(x=1, y=0)],
        "span": Span(0.5, 1.0),
        "day": dt.date(2026, 11, 23),
    }


def test_what_is_left_out_is_left_to_the_functions_own_default(kinds: Contract) -> None:
    assert kinds.validate_json(b'{"n": 3}') == {"n": 3}


def test_all_errors_are_reported_at_once(kinds: Contract) -> None:
    raw = b'{"n": 10, "ratio": "1", "points": [{"x": "1"}, {}], "what": 1}'

    assert errors_of(kinds, raw) == [("n",), ("ratio",), ("points", 0, "x"), ("points", 1, "x"), ("what",)]


@pytest.mark.parametrize(
    "value", [b"true", b'"3"', b"3.0", b"3e0", b"1e400", b"null", b"[3]", b"{}", b"-1", b"10"]
)
def test_an_integer_is_an_integer(kinds: Contract, value: bytes) -> None:
    assert errors_of(kinds, b'{"n": ' + value + b"}") == [("n",)]


@pytest.mark.parametrize("raw", [b"[]", b"null", b"3", b'"n"', b'[{"n": 3}]'])
def test_arguments_come_in_an_object(kinds: Contract, raw: bytes) -> None:
    assert errors_of(kinds, raw) == [()]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"n": 3}x',
        b"{'n': 3}",
        b'{"n": 03}',
        b'{"name": "\xff", "n": 3}',
        b'{"name": "\\ud800", "n": 3}',
        b'\xef\xbb\xbf{"n": 3}',
        b"\0",
        b"[" * 100_000,
        b'{"n": ' * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_malformed(kinds: Contract, raw: bytes) -> None:
    with pytest.raises(MalformedJson):
        kinds.validate_json(raw)


def test_a_hundred_errors_are_listed_and_a_million_are_counted(kinds: Contract) -> None:
    assert len(errors_of(kinds, b'{"n": 1, "points": [' + b",".join([b"0"] * 100) + b"]}")) == 100
    assert errors_of(kinds, b'{"n": 1, "points": [' + b",".join([b"0"] * 101) + b"]}") == [()]


def test_integers_of_any_size_stay_exact() -> None:
    def huge(n: int) -> int:
        return n

    assert build(huge).validate_json(b'{"n": ' + b"9" * 4000 + b"}") == {"n": 10**4000 - 1}


def test_text_of_a_form_is_read_as_what_it_should_be(kinds: Contract) -> None:
    values = {"n": "3", "ratio": "0.25", "mode": "exact", "day": "2026-11-23"}

    assert kinds.validate_text(values) == {
        "n": 3,
        "ratio": 0.25,
        "mode": "exact",
        "day": dt.date(2026, 11, 23),
    }


def test_text_of_a_form_has_the_same_limits(kinds: Contract) -> None:
    with pytest.raises(InvalidArguments) as caught:
        kinds.validate_text({"n": "10", "mode": "slow", "what": ""})

    assert [error["loc"] for error in caught.value.errors] == [["n"], ["mode"], ["what"]]


def test_bytes_are_base64_in_json() -> None:
    def digest(data: bytes) -> str:
        return data.hex()

    wanted = build(digest)

    assert wanted.validate_json(b'{"data": "+/+/"}') == {"data": b"\xfb\xff\xbf"}
    assert wanted.validate_json(b'{"data": "-_-_"}') == {"data": b"\xfb\xff\xbf"}
    assert errors_of(wanted, b'{"data": "%"}') == [("data",)]


def test_parameters_may_have_names_that_pydantic_uses_itself() -> None:
    def awkward(model_config: int, schema: int, self: int, _private: int, copy: int = 0) -> int:
        return model_config

    given = {"model_config": 1, "schema": 2, "self": 3, "_private": 4, "copy": 5}

    assert (
        build(awkward).validate_json(b'{"model_config":1,"schema":2,"self":3,"_private":4,"copy":5}') == given
    )


def test_a_task_may_take_nothing() -> None:
    def nothing() -> None:
        return None

    assert build(nothing).validate_json(b"{}") == {}
    assert build(nothing).result == {"type": "null"}


def test_the_schema_shows_constraints_defaults_and_the_description(kinds: Contract) -> None:
    schema = kinds.arguments

    assert schema["description"] == "Take one of each."
    assert schema["required"] == ["n"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["n"] == {"maximum": 9, "minimum": 0, "title": "N", "type": "integer"}
    assert schema["properties"]["mode"]["default"] == "fast"


def test_a_result_of_unknown_class_has_an_empty_schema() -> None:
    class Thing:
        pass

    def make() -> Thing:
        return Thing()

    def shrug():
        return 1

    assert build(make).result == {}
    assert build(shrug).result == {}


def one(data: bytes, n: int = 0) -> None: ...
def annotated(data: Annotated[bytes, Field(max_length=9)]) -> None: ...
def two(data: bytes, other: bytes) -> None: ...
def optional(data: bytes = b"") -> None: ...
def none(n: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "upload"), [(one, "data"), (annotated, "data"), (two, None), (optional, None), (none, None)]
)
def test_a_raw_body_fills_the_only_required_bytes(function: Callable[..., Any], upload: str | None) -> None:
    assert build(function).upload == upload


def unknown_name(n: "NoSuchType") -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


def unknown_class(n: Callable) -> int:  # type: ignore[type-arg]
    return 1


def strange_class(n: "contract.Contract | object()") -> int:  # type: ignore[valid-type]
    return 1


def default_field(n: int = Field(ge=0)) -> int:
    return n


@pytest.mark.parametrize("function", [unknown_name, unknown_class, strange_class, default_field])
def test_hints_that_cannot_be_served_name_function_file_and_line(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(function)

    place = f"{__file__}:{function.__code__.co_firstlineno}: {function.__name__} can't be a task: "
    assert str(caught.value).startswith(place)
