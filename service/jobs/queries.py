"""The named queries of ``queries.sql``, in the form that a database takes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):(\w+)(\*?)")


@functools.cache
def _texts() -> dict[str, str]:
    _, *parts = _NAME.split((Path(__file__).parent / "queries.sql").read_text(encoding="utf-8"))
    return {name: _COMMENT.sub("", text).strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def names() -> frozenset[str]:
    """Return the name of every query."""
    return frozenset(_texts())


def sqlite(name: str, parameters: Mapping[str, Any], filters: str = "") -> tuple[str, Mapping[str, Any]]:
    """Return a query and its parameters as ``sqlite3`` takes them."""
    return _rendered(name, parameters, filters, postgres=False)


def postgres(name: str, parameters: Mapping[str, Any], filters: str = "") -> tuple[str, Mapping[str, Any]]:
    """Return a query and its parameters as psycopg takes them."""
    return _rendered(name, parameters, filters, postgres=True)


def _rendered(
    name: str, parameters: Mapping[str, Any], filters: str, *, postgres: bool
) -> tuple[str, Mapping[str, Any]]:
    lists = {key: value for key, value in parameters.items() if isinstance(value, tuple)}
    lengths = tuple((key, len(value)) for key, value in lists.items())
    text = _text(name, filters, lengths, postgres=postgres)
    if not lists:
        return text, parameters
    single = {key: value for key, value in parameters.items() if key not in lists}
    return text, single | {f"{key}_{i}": item for key, items in lists.items() for i, item in enumerate(items)}


@functools.lru_cache(maxsize=1024)
def _text(name: str, filters: str, lengths: tuple[tuple[str, int], ...], *, postgres: bool) -> str:
    text = _texts()[name].replace("/*filters*/", filters)
    if postgres:
        text = text.replace("/*lock*/", "FOR UPDATE SKIP LOCKED").replace(
            "/*for update*/", "FOR NO KEY UPDATE"
        )
    known = dict(lengths)

    def place(match: re.Match[str]) -> str:
        parameter, is_list = match.groups()
        names = [f"{parameter}_{i}" for i in range(known[parameter])] if is_list else [parameter]
        # Nothing is in a list of none, and anything is not; for PostgreSQL it may not be empty.
        none = "SELECT NULL WHERE 1 = 0"
        return ", ".join(f"%({each})s" if postgres else f":{each}" for each in names) or none

    return _PARAMETER.sub(place, text)
