"""What stands in a line of a log, in each of the formats that are read.

A reader takes a line and the names of fields, and returns their values, in that order: ``None`` for a field
that the line does not have, and ``None`` for the whole of a line in another format. It takes time in
proportion to the line, whatever stands there: patterns never try the same text again from elsewhere.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Name = Literal["combined", "json", "logfmt"]


@dataclass(frozen=True, slots=True)
class Format:
    """One of them."""

    read: Callable[[str, Sequence[str]], Sequence[Any] | None]
    #: The fields there are; ``None``: whatever the lines have.
    fields: tuple[str, ...] | None
    #: The fields that say whether a line tells of an error.
    telling: tuple[str, ...]


# Text between quotation marks, in which a backslash stands before such a mark.
_QUOTED = r'[^"\\]*+(?:\\.[^"\\]*+)*+'

_COMBINED = re.compile(
    rf"""
    (?P<host>\S++)[ ]\S++[ ](?P<user>[^\[]*[^\[ ])[ ]
    \[(?P<time>(?P<hour>(?P<day>[^:\]]++):\d\d)[^\]]*+)\][ ]
    "(?:
        (?P<method>[A-Z]++)[ ]
        (?P<target>(?P<path>[^\s?"\\]*+(?:\\.[^\s?"\\]*+)*+)[^\s"\\]*+(?:\\.[^\s"\\]*+)*+)
        (?:[ ](?P<protocol>[^\s"\\]++))?"
        | {_QUOTED}"                                  # what was no request at all
    )[ ]
    (?P<status>\d{{3}})[ ](?P<bytes>\d++|-)
    (?:[ ]"(?P<referer>{_QUOTED})"[ ]"(?P<agent>{_QUOTED})")?+
    (?:[ ]"{_QUOTED}")*+
    (?:[ ](?P<duration>\d++(?:\.\d++)?+)(?!\S))?+     # many servers are set up to end their lines so
    """,
    re.VERBOSE | re.ASCII,
)

# A word without a value is taken, too, or each of its ends would be tried as a name.
_WORD = re.compile(rf'([^\s="]++)(=?+)(?:(?<==)(?:"({_QUOTED})"|([^\s"]++)))?+')
_ESCAPED = re.compile(r"\\(.)")


def _combined(line: str, names: Sequence[str]) -> Sequence[Any] | None:
    found = _COMBINED.match(line)
    return found.group(*names) if found else None


def _logfmt(line: str, names: Sequence[str]) -> Sequence[Any] | None:
    words = _WORD.findall(line)
    pairs = {
        name: _ESCAPED.sub(r"\1", quoted) if quoted else bare
        for name, equals, quoted, bare in words
        if equals
    }
    return [pairs.get(name) for name in names] if pairs else None


def _json(line: str, names: Sequence[str]) -> Sequence[Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return [_member(record, name) for name in names] if isinstance(record, dict) else None


def _member(record: dict[str, Any], name: str) -> Any:
    """Find a member, or with dots in its name one inside others."""
    found = record.get(name)
    if found is None and "." in name:
        found = record
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    return None if isinstance(found, dict | list) else found


FORMATS: dict[Name, Format] = {
    "combined": Format(_combined, tuple(_COMBINED.groupindex), ("status",)),
    "json": Format(_json, None, ("status", "level", "severity")),
    "logfmt": Format(_logfmt, None, ("status", "level", "severity")),
}
