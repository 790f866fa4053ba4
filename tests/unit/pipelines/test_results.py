"""What a pipeline gives becomes one result, of a limited size."""

from datetime import date
from typing import Any

import pytest

from service.errors import NotSerializable, ResultNotJson, StageFailed, TaskFailed
from service.pipelines.results import Joined, Listed, Results
from service.pipelines.run import Item
from service.tasks.strict_json import Encoded, dumps

VALUES = ["text", 1, None, {"a": [2.5]}, date(2026, 1, 31)]


def listed(values: list[Any], most: int = 1000) -> Encoded:
    results = Listed("last", most)
    for number, value in enumerate(values):
        results.add(Item(number, value))
    assert results.count == len(values)
    return results.value()


def joined(values: list[Any], most: int = 1000) -> bytearray:
    results = Joined("last", "text/plain", most)
    for number, value in enumerate(values):
        results.add(Item(number, value))
    assert results.count == len(values)
    return results.value()


@pytest.mark.parametrize("number", range(len(VALUES) + 1))
def test_values_become_a_list_in_json(number: int) -> None:
    values = VALUES[:number]

    assert listed(values).content == dumps(values)
    assert dumps(listed(values)) == dumps(values)


def test_bytes_follow_each_other() -> None:
    assert joined([b"a", bytearray(b"bc"), b"", b"d"]) == b"abcd"
    assert joined([]) == b""


@pytest.mark.parametrize("values", [["abc", 1], [[]], []])
def test_a_list_may_be_as_large_as_is_kept_and_no_larger(values: list[Any]) -> None:
    size = len(dumps(values))

    assert listed(values, most=size).content == dumps(values)
    if values:
        with pytest.raises(NotSerializable, match=f"more than the {size - 1} bytes"):
            listed(values, most=size - 1)


def test_bytes_may_be_as_many_as_are_kept_and_no_more() -> None:
    assert joined([b"ab", b"c"], most=3) == b"abc"
    with pytest.raises(NotSerializable, match="more than the 2 bytes"):
        joined([b"ab", b"c"], most=2)


class Odd:
    """Breaks when it is encoded."""

    def tolist(self) -> object:
        raise LookupError("no list")


@pytest.mark.parametrize("value", [float("nan"), {1, lambda: 0}, Odd()])
def test_what_has_no_form_in_json_is_named(value: Any) -> None:
    with pytest.raises(StageFailed) as raised:
        listed([1, 2, value])

    assert (raised.value.stage, raised.value.item) == ("last", 2)
    assert isinstance(raised.value.cause, ResultNotJson)


def test_what_is_no_bytes_is_named() -> None:
    with pytest.raises(StageFailed) as raised:
        joined([b"a", "b"])

    assert (raised.value.stage, raised.value.item) == ("last", 1)
    assert isinstance(raised.value.cause, TaskFailed)
    assert "str" in raised.value.cause.message
    assert "text/plain" in raised.value.cause.message


@pytest.mark.parametrize("results", [Listed("last", 10), Joined("last", "text/plain", 10)])
def test_what_was_refused_is_not_among_them(results: Results) -> None:
    with pytest.raises(NotSerializable):
        results.add(Item(0, b"x" * 100))

    assert results.count == 0
    assert results.value() in (bytearray(), Encoded(b"[]"))
