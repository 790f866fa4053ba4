"""Every kind of type hint: what fits and what it becomes, what does not fit and where."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import ipaddress
import json
import math
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

import annotated_types as at
import pytest
from jsonschema import Draft202012Validator
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    JsonValue,
    PositiveInt,
    SecretStr,
    StringConstraints,
    model_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from service.api.openapi.schemas import example
from service.tasks import contract, registry, strict_json
from service.tasks.contract import Contract, InvalidArguments


def contract_of(function: Callable[..., Any]) -> Contract:
    return contract.build(registry.Task(function.__name__, function, 1, None, "text/plain"))


def taking(annotation: Any, *default: Any) -> Contract:
    """Return the contract of a task with one argument ``v`` of that type."""

    def task(v):
        return v

    task.__annotations__ = {"v": annotation}
    task.__defaults__ = default
    return contract_of(task)


def errors_of(wanted: Contract, raw: str) -> list[tuple[Any, ...]]:
    with pytest.raises(InvalidArguments) as caught:
        wanted.validate_json(raw.encode())
    return [tuple(error["loc"]) for error in caught.value.errors]


# ------------------------------------------------------------------------------- types of a user's own


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(BaseModel):
    x: int
    y: float = 0.0


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, val_json_bytes="base64")

    ratio: float = 0.0
    data: bytes = b""


class Node(BaseModel):
    value: int
    next: Node | None = None


@dataclass
class Tree:
    value: int
    kids: list[Tree] = field(default_factory=list)


@dataclass
class Span:
    first: float
    last: float = 1.0


class Size(TypedDict):
    width: int
    height: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: float = 0.5


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    item: T


class Interval(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def in_order(self) -> Interval:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("it is odd")


def even(n: int) -> int:
    if n % 2:
        raise ValueError("it is odd")
    return n


def words(value: Any) -> Any:
    return [word for text in value for word in text.split()] if value and isinstance(value[0], str) else value


UserId = NewType("UserId", int)
Nested = TypeAliasType("Nested", "list[Nested] | int")
EITHER = Annotated[Circle | Square, Discriminator("kind")]
UUID = "6f0b1c1e-5e0c-4c9c-8f5e-0c8f6b1f7a51"
V = ("v",)


@dataclass
class Kind:
    """One row: a hint, JSON that fits and its value, JSON that does not and the place of each error."""

    hint: Any
    good: str
    value: Any
    bad: str
    locs: list[tuple[Any, ...]] = field(default_factory=lambda: [V])
    #: Whether JSON Schema refuses the bad one, too.
    told: bool = True
    #: Whether an example can be guessed from the schema.
    guessed: bool = True


loose = partial(Kind, told=False)
odd = partial(Kind, told=False, guessed=False)

KINDS = {
    # One value
    "int": Kind(int, "5", 5, '"5"'),
    "int, not 1.0": loose(int, "-5", -5, "1.0"),
    "int, not true": Kind(int, "0", 0, "true"),
    "bool": Kind(bool, "true", value=True, bad="1"),
    "float": Kind(float, "1", 1.0, '"1"'),
    "float, exponent": loose(float, "-1.5e-3", -0.0015, "1e400"),
    "float, long integer": loose(float, "1" + "0" * 300, 1e300, "1" + "0" * 400),
    "str": Kind(str, '"\\u00e4\\ud83d\\ude00"', "ä😀", "1"),
    "bytes": loose(bytes, '"-_-_"', b"\xfb\xff\xbf", '"%"'),
    "None": Kind(None, "null", None, "0"),
    "Any": Kind(Any, '[1, {"a": null}]', [1, {"a": None}], "", []),
    "object": Kind(object, "1", 1, "", []),
    "Decimal": loose(Decimal, '"0.10000000000000000001"', Decimal("0.10000000000000000001"), '"NaN"'),
    "Decimal, number": Kind(Decimal, "0.25", Decimal("0.25"), "true"),
    "Decimal, beyond double precision": loose(Decimal, '"1e400"', Decimal("1e400"), "1e400"),
    "Fraction": loose(Fraction, '"1/3"', Fraction(1, 3), '"1/0"', guessed=False),
    "complex": loose(complex, '"1+2j"', 1 + 2j, '"x"', guessed=False),
    "NewType": Kind(UserId, "1", 1, '"1"'),
    # Constraints
    "bounds": Kind(Annotated[int, Field(ge=0, lt=9)], "8", 8, "9"),
    "annotated_types": Kind(Annotated[int, at.Interval(gt=0, le=9)], "9", 9, "0"),
    "PositiveInt": Kind(PositiveInt, "1", 1, "0"),
    "multiple_of": Kind(Annotated[int, Field(multiple_of=7)], "7" * 30, int("7" * 30), "1" + "0" * 30),
    "bounds that are none": Kind(Annotated[float, Field(ge=-math.inf, le=math.inf)], "1", 1.0, "null"),
    "length": Kind(Annotated[str, Field(min_length=2, max_length=3)], '"äöü"', "äöü", '"ä"'),
    "pattern": Kind(Annotated[str, Field(pattern="^t[a-z]+$")], '"text"', "text", '"Text"'),
    "stripped": Kind(Annotated[str, StringConstraints(strip_whitespace=True)], '" a "', "a", "1"),
    "bytes, counted as such": loose(
        Annotated[bytes, Field(max_length=10)], '"' + "YWFh" * 3 + 'YQ=="', b"a" * 10, '"' + "YWFh" * 4 + '"'
    ),
    "digits": loose(
        Annotated[Decimal, Field(max_digits=4, decimal_places=2)], '"12.50"', Decimal("12.50"), '"1.234"'
    ),
    "items": Kind(Annotated[list[int], Field(min_length=1, max_length=2)], "[1]", [1], "[]"),
    "a date's bound": loose(
        Annotated[dt.date, Field(ge=dt.date(2026, 1, 1))], '"2026-01-01"', dt.date(2026, 1, 1), '"2025-12-31"'
    ),
    # Choices
    "Literal": Kind(Literal["a", 1] | None, "null", None, '"b"'),
    "Enum": Kind(Colour, '"red"', Colour.RED, '"RED"'),
    "IntEnum": Kind(Level, "2", Level.HIGH, "3"),
    "optional": Kind(int | None, "null", None, '"x"'),
    "union": Kind(int | str, '"1"', "1", "1.5", [("v", "int"), ("v", "str")]),
    "union of models": Kind(
        Circle | Square,
        '{"kind": "square", "side": 1}',
        Square(kind="square", side=1),
        '{"kind": "square"}',
        [("v", "Circle", "kind"), ("v", "Circle", "radius"), ("v", "Square", "side")],
    ),
    "discriminated": Kind(
        EITHER,
        '{"kind": "square", "side": 1}',
        Square(kind="square", side=1),
        '{"kind": "circle", "side": 1}',
        [("v", "circle", "radius")],
    ),
    "discriminated, no such": Kind(
        EITHER, '{"kind": "circle", "radius": 1}', Circle(kind="circle", radius=1), '{"kind": "line"}'
    ),
    # Times and names
    "date": Kind(dt.date, '"2026-11-25"', dt.date(2026, 11, 25), "1"),
    "datetime": Kind(
        dt.datetime, '"2026-11-25T12:00:00Z"', dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC), "0"
    ),
    "AwareDatetime": loose(
        AwareDatetime,
        '"2026-11-25T12:00:00+01:00"',
        dt.datetime(2026, 11, 25, 11, tzinfo=dt.UTC),
        '"2026-11-25T12:00:00"',
    ),
    "time": Kind(dt.time, '"12:30:00Z"', dt.time(12, 30, tzinfo=dt.UTC), "0"),
    "timedelta": Kind(dt.timedelta, '"P1DT2H"', dt.timedelta(days=1, hours=2), "90"),
    "timedelta, too long": loose(dt.timedelta, '"-PT1S"', dt.timedelta(seconds=-1), '"P999999999999D"'),
    "UUID": loose(uuid.UUID, f'"{UUID}"', uuid.UUID(UUID), '"x"'),
    "IPv4Address": loose(
        ipaddress.IPv4Address, '"192.0.2.1"', ipaddress.IPv4Address("192.0.2.1"), '"192.0.2.256"'
    ),
    "IPv6Address": loose(ipaddress.IPv6Address, '"::1"', ipaddress.IPv6Address("::1"), '"1"'),
    "URL": loose(HttpUrl, '"https://example.org/"', HttpUrl("https://example.org/"), '"ftp://example.org"'),
    "path": Kind(PurePosixPath, '"/a"', PurePosixPath("/a"), "1"),
    "pattern itself": loose(re.Pattern[str], '"a+"', re.compile("a+"), '"("'),
    "secret": Kind(SecretStr, '"a"', SecretStr("a"), "1"),
    "ByteSize": Kind(ByteSize, '"1KB"', ByteSize(1000), "-1", guessed=False),
    # Many values
    "list": Kind(list[int], "[1, 2]", [1, 2], '[1, "2", 3, null]', [("v", 1), ("v", 3)]),
    "list of anything": Kind(list, '[1, "a"]', [1, "a"], "{}"),
    "tuple": Kind(tuple[int, str], '[1, "a"]', (1, "a"), '["1"]', [("v", 0), ("v", 1)]),
    "tuple, too long": Kind(tuple[int, str], '[1, "a"]', (1, "a"), '[1, "a", 2]'),
    "tuple of any length": Kind(tuple[int, ...], "[]", (), "[0, true]", [("v", 1)]),
    "set": Kind(set[int], "[2, 1]", {1, 2}, '[1, "2"]', [("v", 1)]),
    "set of so many": Kind(Annotated[set[str], Field(min_length=2)], '["b", "a"]', {"a", "b"}, '["a", "a"]'),
    "frozenset": Kind(frozenset[Colour], '["red"]', frozenset({Colour.RED}), '["green"]', [("v", 0)]),
    "Set": Kind(AbstractSet[int], "[1]", frozenset({1}), "{}"),
    "deque": Kind(collections.deque[int], "[1]", collections.deque([1]), '"1"'),
    "Sequence": Kind(Sequence[int], "[1]", [1], '"1"'),
    "Iterable": Kind(Iterable[int], "[1, 2]", [1, 2], '[1, "2"]', [("v", 1)]),
    "Iterable of anything": Kind(Annotated[Iterable, Field(max_length=1)], "[1]", [1], "[1, 2]"),
    "Collection": Kind(Collection[int], "[1, 2]", [1, 2], "[null]", [("v", 0)]),
    "dict": Kind(
        dict[str, int], '{"a": 1}', {"a": 1}, '{"a": "1", "b": 1, "c": 1.5}', [("v", "a"), ("v", "c")]
    ),
    "dict by int": odd(dict[int, int], '{"1": 1}', {1: 1}, '{"one": 1}', [("v", "one", "[key]")]),
    "dict by date": loose(
        dict[dt.date, int], '{"2026-01-01": 1}', {dt.date(2026, 1, 1): 1}, '{"x": 1}', [("v", "x", "[key]")]
    ),
    "dict by Enum": Kind(
        dict[Colour, int], '{"red": 1}', {Colour.RED: 1}, '{"green": 1}', [("v", "green", "[key]")]
    ),
    "Mapping": Kind(Mapping[str, Any], '{"a": [1]}', {"a": [1]}, "[]"),
    "OrderedDict": Kind(collections.OrderedDict[str, int], '{"b": 1}', collections.OrderedDict(b=1), "[]"),
    "Counter": Kind(
        collections.Counter[str], '{"a": 2}', collections.Counter("aa"), '{"a": "2"}', [("v", "a")]
    ),
    "JsonValue": Kind(JsonValue, '{"a": [1, null]}', {"a": [1, None]}, "", []),
    "recursive alias": Kind(
        Nested,
        "[[1], 2]",
        [[1], 2],
        '"x"',
        [("v", "list[union[list[...],int]]"), ("v", "int")],
        guessed=False,
    ),
    # Named values
    "model": Kind(Point, '{"x": 1}', Point(x=1), '{"x": 1.5, "y": "2"}', [("v", "x"), ("v", "y")]),
    "model that forbids": Kind(Strict, '{"ratio": 1}', Strict(ratio=1), '{"what": 1}', [("v", "what")]),
    "model that forbids infinity": loose(
        Strict, '{"data": "-w=="}', Strict(data=b"\xfb"), '{"ratio": 1e400}', [("v", "ratio")]
    ),
    "generic model": Kind(Box[int], '{"item": 1}', Box[int](item=1), '{"item": "1"}', [("v", "item")]),
    "recursive model": Kind(
        Node,
        '{"value": 1, "next": {"value": 2}}',
        Node(value=1, next=Node(value=2)),
        '{"value": 1, "next": {"value": "2", "next": {}}}',
        [("v", "next", "value"), ("v", "next", "next", "value")],
    ),
    "dataclass": Kind(
        Span,
        '{"first": 0}',
        Span(0.0, 1.0),
        '{"last": "1", "what": 1}',
        [("v", "first"), ("v", "last"), ("v", "what")],
    ),
    "recursive dataclass": Kind(
        Tree,
        '{"value": 1, "kids": [{"value": 2}]}',
        Tree(1, [Tree(2)]),
        '{"value": 1, "kids": [{"what": 2}]}',
        [("v", "kids", 0, "value"), ("v", "kids", 0, "what")],
    ),
    "TypedDict": Kind(
        Size, '{"width": 1}', {"width": 1}, '{"width": "1", "depth": 1}', [("v", "width"), ("v", "depth")]
    ),
    "NamedTuple": Kind(Pair, "[1]", Pair(1), '["1", null]', [("v", 0), ("v", 1)]),
    "list of dataclasses": Kind(
        list[Span], "[]", [], '[{"first": 1}, {"first": 1, "end": 1}]', [("v", 1, "end")]
    ),
    # Checks of a user's own
    "validator": odd(Annotated[int, AfterValidator(even)], "2", 2, "1"),
    "validator before": Kind(
        Annotated[list[str], BeforeValidator(words)], '["a b"]', ["a", "b"], "[1]", [("v", 0)]
    ),
    "model's validator": loose(
        Interval, '{"low": 1, "high": 2}', Interval(low=1, high=2), '{"low": 2, "high": 1}'
    ),
    "dataclass's validator": odd(Even, '{"n": 2}', Even(2), '{"n": 1}'),
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_what_fits_becomes_what_the_hint_says(kind: Kind) -> None:
    given = taking(kind.hint).validate_json(f'{{"v": {kind.good}}}'.encode())["v"]

    assert (given, type(given)) == (kind.value, type(kind.value))


@each_kind
def test_what_does_not_fit_is_told_with_each_place(kind: Kind) -> None:
    if kind.bad:
        assert errors_of(taking(kind.hint), f'{{"v": {kind.bad}}}') == kind.locs


@each_kind
def test_its_schema_is_valid_and_says_the_same(kind: Kind) -> None:
    schema = json.loads(strict_json.dumps(taking(kind.hint).arguments))

    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    if kind.hint is not Pair:  # an object does for pydantic, too; of the list it has the defaults wrong
        assert validator.is_valid({"v": json.loads(kind.good)})
    if kind.bad and kind.told:
        assert not validator.is_valid({"v": json.loads(kind.bad)})


@each_kind
def test_the_example_made_from_its_schema_is_taken(kind: Kind) -> None:
    wanted = taking(kind.hint)
    if kind.guessed:
        assert "v" in wanted.validate_json(strict_json.dumps(example(wanted.arguments)))


# --------------------------------------------------------------------------------------- many at once


def many(
    day: dt.date,
    shape: EITHER,
    spans: list[Span] = [],  # noqa: B006 - a default that does not travel
    *,
    size: Size | None = None,
    limit: float = math.inf,
) -> None: ...


def test_every_error_is_told_at_once_however_deep() -> None:
    raw = """{"shape": {"kind": "circle", "radius": "1"}, "what": 1,
              "spans": [{"first": 0}, {"first": null, "end": 1}], "size": {"width": 1.5}, "limit": 1e999}"""

    assert errors_of(contract_of(many), raw) == [
        ("day",),
        ("shape", "circle", "radius"),
        ("spans", 1, "first"),
        ("spans", 1, "end"),
        ("size", "width"),
        ("limit",),
        ("what",),
    ]


def test_a_mutable_default_stays_where_it_is() -> None:
    raw = b'{"day": "2026-11-25", "shape": {"kind": "square", "side": 1}}'

    first, second = contract_of(many).validate_json(raw), contract_of(many).validate_json(raw)

    assert "spans" not in first
    assert first == second == {"day": dt.date(2026, 11, 25), "shape": Square(kind="square", side=1)}


def awkward(
    model_config: int, copy: int, schema: int, json: int, self: int, cls: int, *, argument_0: int = 0
) -> int:
    return model_config


def test_parameters_may_have_names_that_mean_something_elsewhere() -> None:
    names = ["model_config", "copy", "schema", "json", "self", "cls", "argument_0"]
    wanted = contract_of(awkward)

    given = wanted.validate_json(json.dumps(dict.fromkeys(names, 1)).encode())

    assert given == dict.fromkeys(names, 1)
    assert awkward(**given) == 1
    assert errors_of(wanted, "{}") == [(name,) for name in names[:-1]]
    assert list(wanted.arguments["properties"]) == names


# ------------------------------------------------------------------------------------ models of a user's


def test_a_model_rules_what_is_unknown_and_what_infinite_in_it() -> None:
    """Said nothing, it ignores and takes both: pydantic's own defaults, and its schema says so."""
    wanted = taking(Point)

    given = wanted.validate_json(b'{"v": {"x": 1, "y": 1e400, "what": 1}}')

    assert given == {"v": Point(x=1, y=math.inf)}
    assert "additionalProperties" not in wanted.arguments["$defs"]["Point"]
