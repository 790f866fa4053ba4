"""What tasks say, as the table takes it."""

from __future__ import annotations

import math
from typing import Any

#: Longest note of progress, in characters, and largest whole number of it that every client can read.
MAX_NOTE = 1000
MAX_NUMBER = 2**53
#: Most stages of a pipeline that progress tells of, and longest name of one, in characters.
MAX_STAGES = 100
MAX_NAME = 200
#: What is told of a stage beside its name.
COUNTS = ("items_in", "items_out", "skipped")


def progress(said: dict[str, Any]) -> dict[str, Any]:
    """Return progress as JSON has it, whatever kinds of numbers the task counts with."""
    note = text(str(said.get("note", "")))[:MAX_NOTE]
    plain: dict[str, Any] = {
        "done": _number(said.get("done")),
        "total": _number(said.get("total")),
        "note": note,
    }
    stages = said.get("stages")
    if isinstance(stages, list) and all(map(_is_stage, stages)):
        plain["stages"] = [_stage(stage) for stage in stages[:MAX_STAGES]]
    return plain


def _is_stage(said: Any) -> bool:
    return (
        isinstance(said, dict)
        and isinstance(said.get("name"), str)
        and all(type(said.get(count)) is int and 0 <= said[count] <= MAX_NUMBER for count in COUNTS)
    )


def _stage(said: dict[str, Any]) -> dict[str, Any]:
    return {"name": text(said["name"])[:MAX_NAME], **{count: said[count] for count in COUNTS}}


def _number(value: Any) -> float | None:
    if type(value) is int and -MAX_NUMBER <= value <= MAX_NUMBER:
        return value
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - code of the user's, as for all that is no number at all
        return None
    return number if math.isfinite(number) else None


def text(given: str) -> str:
    """Return text as databases take it: PostgreSQL no null character, and neither of them half of one."""
    return given.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
