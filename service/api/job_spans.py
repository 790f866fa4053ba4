"""Where the values in a JSON text begin and end, so that they can be kept as they came.

A number may have more digits than a float keeps, and a task may have use for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_read = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


class Span(NamedTuple):
    """A value, and where it stands."""

    value: Any
    start: int
    end: int


def whole(text: str) -> Span:
    """Return the value that the text is; this and the others take only what is known to be JSON."""
    start = _skip(text, 0)
    return Span(*_from(text, start))


def members(text: str, start: int) -> Iterator[tuple[str, Span]]:
    """Yield the members of the object that begins at ``start``."""
    at = _skip(text, start + 1)
    while text[at] != "}":
        name, at = _read(text, at)
        value, begin, end = _from(text, _skip(text, _skip(text, at) + 1))
        yield name, Span(value, begin, end)
        at = _behind(text, end)


def items(text: str, start: int) -> Iterator[Span]:
    """Yield the items of the list that begins at ``start``."""
    at = _skip(text, start + 1)
    while text[at] != "]":
        value, begin, end = _from(text, at)
        yield Span(value, begin, end)
        at = _behind(text, end)


def _from(text: str, start: int) -> tuple[Any, int, int]:
    value, end = _read(text, start)
    return value, start, end


def _behind(text: str, end: int) -> int:
    """Return where the next one begins, or the bracket that closes."""
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    """Return where the next thing but space is."""
    if text[at] > " ":
        return at  # as nearly always, and a search would take longer
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
