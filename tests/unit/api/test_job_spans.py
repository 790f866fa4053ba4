"""Where values stand in a JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.job_spans import items, members, whole

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FORMS = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"indent": 2},
        {"indent": "\t", "ensure_ascii": False},
        {"separators": (" , ", "\r\n:\n")},
    ]
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), VALUES), FORMS)
def test_members_are_found_whatever_they_are(value: dict[str, Any], form: dict[str, Any]) -> None:
    text = f"\n {json.dumps(value, **form)} "

    span = whole(text)

    assert span.value == value
    found = dict(members(text, span.start))
    assert {name: member.value for name, member in found.items()} == value
    assert {name: json.loads(text[m.start : m.end]) for name, m in found.items()} == value


@settings(max_examples=40)
@given(st.lists(VALUES), FORMS)
def test_items_are_found_whatever_they_are(value: list[Any], form: dict[str, Any]) -> None:
    text = json.dumps(value, **form)

    found = list(items(text, whole(text).start))

    assert [item.value for item in found] == value
    assert [json.loads(text[item.start : item.end]) for item in found] == value


@pytest.mark.parametrize("number", ["1.10", "1E5", "-0", "0.1234567890123456789", "9" * 400])
def test_a_number_keeps_its_text(number: str) -> None:
    text = f'{{ "a" : {number} }}'

    ((_, span),) = members(text, 0)

    assert text[span.start : span.end] == number
