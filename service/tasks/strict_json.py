"""JSON to the letter: a name stands once in an object, and there is neither ``NaN`` nor ``Infinity``.

pydantic's own reader takes the last of two values for one name and ``NaN`` for a number. Who sends such
has made a mistake, and whatever stands between us may have read it in another way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jiter
from pydantic_core import to_jsonable_python


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value that is in JSON already."""

    content: bytes


def check(raw: bytes, names: int = 1) -> None:
    """Refuse what pydantic would take though it is no strict JSON; raises ``ValueError`` with the place.

    ``names`` is how many different names are known to stand in it: with no more colons than that, none
    stands twice, and a few searches tell of a list of numbers, however long, that there is nothing to find.
    """
    if b"N" in raw or b"I" in raw or _has_more_colons(raw, names):
        loads(raw)


def _has_more_colons(raw: bytes, number: int) -> bool:
    # By find(), for count() looks at each byte by itself: 30 times slower where there are few.
    place = -1
    for _ in range(number + 1):
        place = raw.find(b":", place + 1)
        if place < 0:
            return False
    return True


def loads(raw: bytes) -> Any:
    """Read JSON; raises ``ValueError`` with the place, and with the name that stands twice."""
    # Nothing of what is read is kept for the next time: it may be secret.
    return jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="none")


def dumps(value: Any) -> bytes:
    """Encode a value; models, dataclasses, dates and arrays take their usual JSON form.

    Raises ``ValueError``, ``TypeError`` or ``RecursionError`` for what has none.
    """
    if isinstance(value, Encoded):
        return value.content
    return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()


def with_encoded(encoded: bytes, name: str, value: bytes) -> bytes:
    """Add a member to an encoded object that has others; ``value`` is JSON already and stays as it is."""
    return b"%s,%s:%s}" % (encoded[:-1], dumps(name), value)


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, bytes_mode="base64", fallback=_from_array)


def _from_array(value: Any) -> Any:
    """Take numpy's arrays and scalars without knowing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
