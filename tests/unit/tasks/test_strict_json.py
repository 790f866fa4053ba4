"""JSON to the letter, and numbers of any size."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue
from typing_extensions import TypeAliasType

from service.tasks import contract, registry, strict_json
from service.tasks.contract import Contract, MalformedJson


def taking(annotation: Any) -> Contract:
    """Return the contract of a task with one argument ``v`` of that type."""

    def task(v):
        return v

    task.__annotations__ = {"v": annotation}
    return contract.build(registry.Task("task", task, 1, None, "text/plain"))


class Point(BaseModel):
    x: int
    y: float = 0.0


class Node(BaseModel):
    value: int
    next: Node | None = None


Nested = TypeAliasType("Nested", "list[Nested] | int")

# ---------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("hint", [int, int | None, list[int], dict[str, int], Any, JsonValue], ids=str)
@pytest.mark.parametrize("digits", [30, 4000])
def test_integers_of_any_size_are_exact_there_and_back(hint: Any, digits: int) -> None:
    number = "-" + "9" * digits
    raw = {list[int]: f"[{number}]", dict[str, int]: f'{{"a": {number}}}'}.get(hint, number)

    given = taking(hint).validate_json(f'{{"v": {raw}}}'.encode())["v"]

    assert strict_json.dumps(given).decode() == raw.replace(" ", "")


@pytest.mark.parametrize("hint", [int, float, Decimal, Any, str, list[int]], ids=str)
def test_integers_that_python_does_not_read_are_malformed(hint: Any) -> None:
    with pytest.raises(MalformedJson, match="out of range"):
        taking(hint).validate_json(b'{"v": ' + b"9" * 5000 + b"}")


@pytest.mark.parametrize("token", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf"])
@pytest.mark.parametrize("hint", [float, int, Any, Point, Decimal], ids=str)
def test_what_json_has_no_number_for_is_malformed(hint: Any, token: bytes) -> None:
    for raw in (token, b"[" + token + b"]", b'{"y": ' + token + b"}"):
        with pytest.raises(MalformedJson):
            taking(hint).validate_json(b'{"v": ' + raw + b"}")


def test_words_that_only_look_so_are_text() -> None:
    assert taking(str).validate_json(b'{"v": "NaN: Infinity: {"}') == {"v": "NaN: Infinity: {"}


@pytest.mark.parametrize("hint", [Any, Node, Nested, list[Any], JsonValue], ids=str)
@pytest.mark.parametrize("opening", ["[", '{"next": ', '{"a": [{"b": '])
def test_deep_nesting_is_malformed(hint: Any, opening: str) -> None:
    with pytest.raises(MalformedJson):
        taking(hint).validate_json(f'{{"v": {opening * 100_000}'.encode())


# ------------------------------------------------------------------------------------- twice the same name


@pytest.mark.parametrize(
    "raw",
    [
        '{"v": 1, "v": 1}',
        '{"v": {"x": 1, "x": 2}}',
        '{"v": [1, {"a": {"b": 1, "c": 2, "b": 1}}]}',
        '{"v": {"a": 1, "\\u0061": 2}}',
        '{"v": {"": 1, "": 2}}',
        '{"what": {"a": 1, "a": 2}}',
    ],
)
@pytest.mark.parametrize("hint", [Any, Point, dict[str, int]], ids=str)
def test_a_name_that_stands_twice_is_refused(hint: Any, raw: str) -> None:
    with pytest.raises(MalformedJson, match=r'duplicate key ".?" at line 1'):
        taking(hint).validate_json(raw.encode())


def test_a_name_may_stand_in_two_objects() -> None:
    raw = b'{"v": [{"a": 1, "b": {"a": 1}}, {"a": 1}]}'

    assert taking(Any).validate_json(raw) == {"v": [{"a": 1, "b": {"a": 1}}, {"a": 1}]}


def test_an_encoded_value_is_added_to_an_object_as_it_is():
    added = strict_json.with_encoded(strict_json.dumps({"a": [1]}), 'b"', b"1.50e2")

    assert added == rb'{"a":[1],"b\"":1.50e2}'
