"""When periodic tasks are due."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.tasks.periods import Cron, Every, Schedule, parse_cron, parse_every

MINUTE, DAY = 60, 86_400

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]

#: Days on which clocks are changed, each in its own way.
CHANGES = [
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, tzinfo=UTC)),  # from 00:00 to 01:00
    ("America/Sao_Paulo", datetime(2018, 2, 18, tzinfo=UTC)),  # from 00:00 back to the day before
    ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),  # a whole day is skipped
]

EXPRESSIONS = [
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0 */2 * * *",
    "0 3 * * *",
    "30 2 * * MON-FRI",
    "15,45 0-4 * * *",
    "0 0 1 * *",
    "0 0 L * *",
    "0 12 13 * FRI",
    "0 0 29 2 *",
    "0 0 29 2 */7",
]

times = st.floats(0, 4e9) | st.integers(0, 4_000_000_000)
lengths = st.floats(1, 1e8) | st.integers(1, 10**8)


def at(text: str, zone: str = "UTC") -> float:
    """Return the moment at which a clock in that zone shows this (for the first time)."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def shown(moments: Iterator[float], zone: str) -> list[str]:
    """Return what a clock in that zone shows at each moment."""
    return [f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%d %H:%M%z}" for moment in moments]


def from_on(schedule: Schedule, now: float) -> Iterator[float]:
    """Yield the beginnings after ``now``."""
    while True:
        now = schedule.next(now)
        yield now


def check(schedule: Schedule, now: float, share: float) -> None:
    """Check the promises of a schedule, also at some other time of the same period."""
    began, following = schedule.period(now), schedule.next(now)

    assert began <= now < following
    assert schedule.period(began) == began
    assert schedule.period(following) == following
    other = min(began + share * (following - began), math.nextafter(following, 0))
    assert (schedule.period(other), schedule.next(other)) == (began, following)


# --------------------------------------------------------------------------------------- every so often


@given(lengths, times, st.floats(0, 1))
@example(3.3, 3 * 3.3, 0.5)  # the quotient is rounded down, below 3
@example(1.1, math.nextafter(7 * 1.1, 0), 0.0)  # and up, to 7
def test_time_is_cut_into_equal_periods(seconds: float, now: float, share: float) -> None:
    check(Every(seconds), now, share)


def test_periods_are_counted_from_the_epoch() -> None:
    every = parse_every("1h30m")

    assert every == Every(5400)
    assert every.period(at("2026-11-25T08:59:59.5")) == at("2026-11-25T07:30:00")
    assert every.next(at("2026-11-25T08:59:59.5")) == at("2026-11-25T09:00:00")
    assert every.period(at("2026-11-25T09:00:00")) == at("2026-11-25T09:00:00")
    assert parse_every("1d").period(at("2026-11-25T08:59")) == at("2026-11-25T00:00")
    assert parse_every(1).next(0.5) == 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0.9s", "a period must be at least 1 second, not '0.9s'"),
        (0.5, "a period must be at least 1 second, not 0.5"),
        (0, "more than 0 seconds"),
        ("hourly", "'hourly' is no duration"),
    ],
)
def test_a_period_that_cannot_be_is_refused(value: float | str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_every(value)


# -------------------------------------------------------------------------------------------- by a cron


@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), times, st.floats(0, 1))
def test_a_cron_cuts_time_into_periods(expression: str, zone: str, now: float, share: float) -> None:
    check(parse_cron(expression, zone), now, share)


def as_a_clock_runs(expression: str, zone: str, first: float, last: float) -> list[float]:
    """Find firings the long way, for an expression of a minute and an hour: watch the clock each minute."""
    minutes, hours = (_values(text, most) for text, most in zip(expression.split(), (60, 24), strict=False))
    interval = expression.startswith("*") or expression.split()[1].startswith("*")
    clock = datetime.fromtimestamp(first, ZoneInfo(zone)).replace(tzinfo=None)
    seen, found = clock - timedelta(minutes=1), []
    for moment in range(int(first), int(last), MINUTE):
        clock = datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None)
        new = [seen + timedelta(minutes=i + 1) for i in range((clock - seen) // timedelta(minutes=1))]
        if any(wall.minute in minutes and wall.hour in hours for wall in ([clock] if interval else new)):
            found.append(float(moment))
        seen = max(seen, clock)
    return found


def _values(text: str, most: int) -> set[int]:
    start, _, step = text.partition("/")
    if start == "*":
        return set(range(0, most, int(step or 1)))
    return {int(value) for value in text.split(",")}


@settings(max_examples=60)
@given(
    st.sampled_from(["*/20", "*/50", "0", "0,30", "15,45,59", "7"]),
    st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "0,1,2,3", "23,0,1"]),
    st.sampled_from(CHANGES),
)
def test_changes_of_the_clock_are_as_on_the_clock(
    minute: str, hour: str, change: tuple[str, datetime]
) -> None:
    zone, day = change
    cron = parse_cron(f"{minute} {hour} * * *", zone)
    first, last = day.timestamp() - DAY, day.timestamp() + 2 * DAY

    wanted = as_a_clock_runs(cron.expression, zone, first, last)

    assert list(itertools.takewhile(lambda moment: moment < last, from_on(cron, first - 1))) == wanted
    for began, following in itertools.pairwise(wanted):
        for now in (began, (began + following) / 2, following - 0.5):
            assert (cron.period(now), cron.next(now)) == (began, following)


@pytest.mark.parametrize(
    ("expression", "start", "wanted"),
    [
        ("30 2 * * *", "2026-03-07T12:00", ["08 03:00-0400", "09 02:30-0400"]),
        ("0,30 2,3 * * *", "2026-03-07T12:00", ["08 03:00-0400", "08 03:30-0400", "09 02:00-0400"]),
        ("*/30 * * * *", "2026-03-08T01:00", ["08 01:30-0500", "08 03:00-0400", "08 03:30-0400"]),
        ("30 1 * * *", "2026-10-31T12:00", ["01 01:30-0400", "02 01:30-0500"]),
        ("30 * * * *", "2026-11-01T01:00", ["01 01:30-0400", "01 01:30-0500", "01 02:30-0500"]),
    ],
)
def test_a_daily_task_runs_once_a_day_and_an_hourly_one_each_hour(
    expression: str, start: str, wanted: list[str]
) -> None:
    zone = "America/New_York"
    firings = from_on(parse_cron(expression, zone), at(start, zone))

    assert shown(itertools.islice(firings, len(wanted)), zone) == wanted


def test_a_cron_is_in_utc_unless_it_says_otherwise() -> None:
    assert parse_cron("0 3 * * *").next(at("2026-07-01T00:00")) == at("2026-07-01T03:00")
    assert parse_cron("0 3 * * *", "Europe/Berlin").next(at("2026-07-01T00:00")) == at("2026-07-01T01:00")


def test_utc_needs_no_database_of_time_zones() -> None:
    code = "from service.tasks.periods import parse_cron as cron\n"
    code += "print(cron('0 3 * * *').next(0))\ncron('0 3 * * *', 'Mars')"
    environment = {**os.environ, "PYTHONTZPATH": ""}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout == "10800.0\n"
    assert "there is no time zone 'Mars'" in done.stderr


def test_blanks_do_not_make_another_cron() -> None:
    assert parse_cron("  0  3 * *\tmon ") == Cron("0 3 * * mon", "UTC")


def test_sparse_crons_are_found_quickly() -> None:
    started = time.monotonic()

    assert parse_cron("0 0 29 2 *").period(at("2028-02-28T23:59")) == at("2024-02-29T00:00")
    assert parse_cron("0 0 29 2 *").next(at("2096-03-01T00:00")) == at("2104-02-29T00:00")
    assert parse_cron("0 0 29 2 */7").next(at("2088-03-01T00:00")) == at("2128-02-29T00:00")
    assert parse_cron("* * 29 2 *", "Europe/Berlin").next(at("2026-01-01T00:00")) < at("2028-03-01T00:00")

    # To look at each minute of those years would take minutes.
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("expression", "zone", "why"),
    [
        ("0 0 31 2 *", "UTC", "'0 0 31 2 .' never fires"),
        ("0 0 31 4,6 *", "UTC", "never fires"),
        ("0 0 */30 4 MON#5", "UTC", "never fires"),
        # An interval, all of it in the gap of each year.
        ("*/5 2 * 3 SUN#2", "America/New_York", "never fires in the time zone America/New_York"),
        ("", "UTC", "a cron expression has five fields .minute, hour, .*, and '' has 0"),
        ("@daily", "UTC", "has 1"),
        ("0 0 3 * * *", "UTC", "has 6"),
        ("60 * * * *", "UTC", "'60' in '60 . . . .' is no minute: write ., 0-59"),
        ("* 24 * * *", "UTC", "'24' .* is no hour"),
        ("* * 0 * *", "UTC", "'0' .* is no day of the month"),
        ("* * * FOO *", "UTC", "'FOO' .* is no month: .* JAN-DEC"),
        ("* * * * 8", "UTC", "'8' .* is no weekday: .* SUN-SAT"),
        ("*/0 * * * *", "UTC", "is no minute"),
        ("5-1 * * * *", "UTC", "is no minute"),
        (f"{'9' * 5000} * * * *", "UTC", "is no minute"),
        ("* * * * *", "Mars/Olympus", "there is no time zone 'Mars/Olympus'; write UTC or"),
        ("* * * * *", "America", "there is no time zone"),
        ("* * * * *", "../../etc/passwd", "there is no time zone"),
        ("* * * * *", "", "there is no time zone"),
    ],
    ids=itertools.count(),
)
def test_a_cron_that_cannot_be_is_refused(expression: str, zone: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_cron(expression, zone)


right = ["*", "*/2", "0", "1", "2,5", "1-5/2", "29", "31", "L", "LW", "JAN", "feb", "mon-fri", "1#5", "5L"]
fields = st.sampled_from(right) | st.text(alphabet="0123456789*/,-#LWMON", max_size=6)


@given(st.lists(fields, min_size=5, max_size=5).map(" ".join) | st.text(max_size=20), times)
@example("0 0 31 feb 1#5", 0)
@example("*/2 1-5/2 LW * 5L", 4e9)
def test_any_text_is_a_cron_or_a_valueerror(text: str, now: float) -> None:
    try:
        cron = parse_cron(text)
    except ValueError:
        return
    check(cron, now, 0.5)
