"""Arguments on their way through the table."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs import arguments
from service.jobs.model import Payload
from service.tasks.contract import Contract, InvalidArguments, MalformedJson, build
from service.tasks.registry import Task

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = texts | st.binary() | st.lists(texts | st.binary())


def contract(function: Any) -> Contract:
    return build(Task(function.__name__, function, cpu=1, timeout=None, media_type="text/plain"))


def add(a: int, b: int = 2) -> int:
    return a + b


def store(name: str, data: bytes, sizes: list[int] | None = None) -> None:
    """Take a text, bytes and numbers."""


class Taken:
    """A contract that keeps what it is given."""

    def __init__(self) -> None:
        self.values: Any = None

    def validate_text(self, values: Any) -> dict[str, Any]:
        self.values = values
        return {}


@given(st.dictionaries(texts, values))
def test_fields_come_back_as_they_were(fields):
    taken: Any = Taken()

    payload = arguments.of_fields(fields)
    arguments.read(taken, payload)

    assert payload.media_type == arguments.FIELDS
    assert taken.values == fields
    assert json.loads(payload.content).keys() == fields.keys(), "it is JSON, and nothing else"


def test_json_is_read_by_the_contract():
    read = arguments.read(contract(add), Payload(arguments.JSON, b'{"a": 1}'))

    assert read == {"a": 1}


def test_fields_are_read_by_the_contract():
    payload = arguments.of_fields({"name": "é", "data": b"\xff\0", "sizes": ["1", "2"]})

    assert arguments.read(contract(store), payload) == {"name": "é", "data": b"\xff\0", "sizes": [1, 2]}


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (Payload(arguments.JSON, b'{"a": "x"}'), InvalidArguments),
        (Payload(arguments.JSON, b'{"a": 1, "c": 3}'), InvalidArguments),
        (Payload(arguments.JSON, b'{"a": '), MalformedJson),
        (arguments.of_fields({"b": "1"}), InvalidArguments),
    ],
)
def test_what_does_not_fit_any_more_is_refused(payload, error):
    """The task may be of another version than the one at submission."""
    with pytest.raises(error):
        arguments.read(contract(add), payload)
