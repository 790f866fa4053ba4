"""When a periodic task is due: every so many seconds, or as a cron expression says.

every="5m"         ─> parse_every ─> Every ─┐
cron="0 3 * * *"   ─> parse_cron  ─> Cron  ─┴─> period(now) <= now < next(now)

Both cut time into periods, and every process finds the same ones: a period's beginning can be its name.
"""

from __future__ import annotations

import bisect
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from service.durations import parse_duration

_SECOND = timedelta(seconds=1)

#: The fields of a cron expression and what may stand there.
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of the month": "1-31, L",
    "month": "1-12, JAN-DEC",
    "weekday": "0-7, SUN-SAT",
}

#: A 29th of February that is a Sunday may be 40 years away; what does not come in 50 never does.
_HORIZON = timedelta(days=50 * 366)


class Schedule(Protocol):
    """Cuts time into periods; all times are seconds since the epoch."""

    def period(self, now: float) -> float:
        """Return when the period that ``now`` lies in began, which may be ``now`` itself."""

    def next(self, now: float) -> float:
        """Return when the first period after ``now`` begins."""


@dataclass(frozen=True, slots=True)
class Every:
    """Periods of equal length, counted from the epoch in UTC; ``parse_every`` checks what it is given."""

    seconds: float

    def period(self, now: float) -> float:
        """Return when the period that ``now`` lies in began."""
        return float(self._number(now) * self.seconds)

    def next(self, now: float) -> float:
        """Return when the first period after ``now`` begins."""
        return float((self._number(now) + 1) * self.seconds)

    def _number(self, now: float) -> int:
        # The quotient is rounded: with 1.1 seconds, a period's own beginning may seem to lie before it.
        near = math.floor(now / self.seconds)
        return max(n for n in (near - 1, near, near + 1) if n * self.seconds <= now)


@dataclass(frozen=True, slots=True)
class Cron:
    """Periods that begin when a cron expression fires; ``parse_cron`` checks what it is given.

    Where clocks are put forward, a time of day that is skipped fires at the end of the gap; where they are
    put back, it fires the first time only. With a star in the minute or the hour the expression means an
    interval, not a time of day, and fires whenever the clock shows it: never in the gap, twice in the hour
    that comes twice. This is what Debian's cron does.
    """

    expression: str
    #: IANA name of the time zone.
    zone: str = "UTC"

    def period(self, now: float) -> float:
        """Return when the expression last fired, ``now`` included."""
        return max(self._firings(now, before=True))

    def next(self, now: float) -> float:
        """Return when the expression fires next after ``now``."""
        return min(self._firings(now, before=False))

    def _firings(self, now: float, *, before: bool) -> list[float]:
        """Return firings on one side of ``now``, the nearest among them.

        The expression is matched against bare wall-clock times, which then are placed in the zone. On a
        clock that was or will be put back, the nearest in time may not be the nearest on the clock.
        """
        zone = _zone(self.zone)
        here = datetime.fromtimestamp(math.floor(now), zone)
        first, second = _moments(here, zone)
        repeated = timedelta(seconds=second - first)
        clock = here.replace(tzinfo=None)
        start = clock + repeated + _SECOND if before else clock - repeated
        found: list[float] = []
        for wall in CronSim(self.expression, start, reverse=before):
            found += [moment for moment in self._place(wall, zone) if (moment <= now) is before]
            if found and (wall <= clock) is before:
                return found
            if abs(wall - clock) > _HORIZON:
                break
        raise ValueError(f"{self.expression!r} never fires in the time zone {self.zone}")

    def _place(self, wall: datetime, zone: tzinfo) -> list[float]:
        """Return the moments at which a wall-clock time that matches fires."""
        first, second = _moments(wall, zone)
        minute, hour = self.expression.split()[:2]
        interval = minute.startswith("*") or hour.startswith("*")
        if first > second:
            between = range(int(second), int(first) + 1)
            return [] if interval else [_end_of_gap(wall, zone, between)]
        return [first, second] if interval and first < second else [first]


def parse_every(value: float | str) -> Every:
    """Make a schedule from a duration such as ``5m``; raises ``ValueError``."""
    seconds = parse_duration(value)
    if seconds < 1:
        raise ValueError(f"a period must be at least 1 second, not {value!r}")
    return Every(seconds)


def parse_cron(text: str, zone: str = "UTC") -> Cron:
    """Make a schedule from a cron expression of five fields and a time zone; raises ``ValueError``."""
    cron = Cron(" ".join(_fields(text)), zone)
    now = time.time()
    try:
        cron.period(now)
        cron.next(now)
    except CronSimError as error:
        # Each field is right by itself, so it is a day that its months don't have.
        raise ValueError(f"{cron.expression!r} never fires: no such month has such a day") from error
    return cron


def _fields(text: str) -> list[str]:
    """Return the fields of a cron expression, each of which is right by itself, or raise ``ValueError``."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        wanted = ", ".join(_FIELDS)
        raise ValueError(f"a cron expression has five fields ({wanted}), and {text!r} has {len(fields)}")
    for place, (name, values) in enumerate(_FIELDS.items()):
        alone = ["*"] * len(_FIELDS)
        alone[place] = fields[place]
        try:
            CronSim(" ".join(alone), datetime.now(UTC))
        except (CronSimError, ValueError) as error:
            wrong = f"{fields[place]!r} in {text!r} is no {name}"
            raise ValueError(f"{wrong}: write *, {values}, a list, a range or a step, such as */5") from error
    return fields


def _zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name, or raise ``ValueError``."""
    if name == "UTC":
        # It is known also where there is no database of time zones.
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write UTC or a name like Europe/Berlin") from error


def _moments(wall: datetime, zone: tzinfo) -> tuple[float, float]:
    """Return the moments a wall-clock time can mean.

    They are the same but where the clock is changed: the second is later where the time comes twice, and
    earlier where it is skipped.
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return first, second


def _end_of_gap(wall: datetime, zone: tzinfo, moments: range) -> float:
    """Return the first of these moments at which the clock has passed a time that it skips."""

    def has_passed(moment: int) -> bool:
        return datetime.fromtimestamp(moment, zone).replace(tzinfo=None) >= wall

    return float(moments[bisect.bisect_left(moments, x=True, key=has_passed)])
