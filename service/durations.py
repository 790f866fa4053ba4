"""Durations as people write them: ``30s``, ``5m``, ``1h30m``, ``2d``, or a number of seconds."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PARTS = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS))

#: Ends a hundred years ahead, which every calendar can still show.
_LONGEST = 36_500 * _UNITS["d"]


def parse_duration(value: float | str) -> float:
    """Return the seconds that a text or a number stands for.

    Units are d, h, m and s, the largest first; a text without one counts seconds. Raises ``ValueError``
    for anything else, for nothing or less, and for more than 36500 days.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f"{value!r} is no duration; write 30s, 5m, 2h, 1d, 1h30m or a number of seconds")
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"a duration must be more than 0 seconds and at most 36500d, not {value!r}")
    return float(seconds)


def _seconds(value: object) -> float | None:
    """Return what it stands for, however much that is, or ``None`` if it is no duration at all."""
    if isinstance(value, int | float):
        return None if isinstance(value, bool) else value
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = _PARTS.fullmatch(text)
    if not text or parts is None:
        return None
    return sum(float(n) * unit for n, unit in zip(parts.groups("0"), _UNITS.values(), strict=True))
