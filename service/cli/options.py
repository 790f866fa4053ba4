"""What may stand behind an option, checked before anything is done: callbacks for ``click.option``."""

from __future__ import annotations

import datetime as dt
import re
import time

import click

from service.durations import parse_duration
from service.jobs.model import State

_EXAMPLE = "2026-01-31T12:00:00Z"
#: It need not be the name of a task that is still registered.
_TASK = re.compile(r"[\w.-]+", re.ASCII)


def duration(_context: click.Context, _option: click.Parameter, value: str) -> float:
    """Return the seconds of ``7d`` or ``1h30m``."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Return a time in seconds since the epoch; it is given by how long ago it was, or by RFC 3339."""
    if value is None:
        return None
    try:
        return time.time() - parse_duration(value)
    except ValueError:
        pass
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a duration, such as 2h, nor a time, such as {_EXAMPLE}"
        ) from None
    if found.tzinfo is None:
        raise click.BadParameter(f"{value!r} does not say in which time zone; write {_EXAMPLE}")
    return found.timestamp()


def states(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[State, ...]:
    """Return the states that are given, separated by commas."""
    return _states(value, tuple(State))


def final_states(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[State, ...]:
    """Return the same; jobs in these have ended."""
    return _states(value, tuple(state for state in State if state.is_final))


def _states(value: str | None, allowed: tuple[State, ...]) -> tuple[State, ...]:
    names = [] if value is None else [name.strip() for name in value.split(",")]
    for name in names:
        if name not in allowed:
            raise click.BadParameter(f"{name!r} is none of {', '.join(allowed)}")
    return tuple(State(name) for name in dict.fromkeys(names))


def task_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Return what may be the name of a task."""
    if value is not None and not _TASK.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not the name of a task")
    return value
