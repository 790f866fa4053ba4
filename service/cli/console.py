"""How commands print, and how they fail: with one line on standard error, and an exit status."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from service.errors import ConfigurationError, EverycoreError
from service.jobs.model import StoreUnavailable

#: What a command that could not do what it was asked exits with, and what a wrong setting or a broken task
#: module does.
FAILED, MISCONFIGURED = 1, 2


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn an error of ours into its message on standard error, and the exit status that goes with it."""
    try:
        yield
    except EverycoreError as error:
        print_error(error)
        sys.exit(MISCONFIGURED if isinstance(error, ConfigurationError) else FAILED)


def print_error(error: EverycoreError | str) -> None:
    """Print what went wrong."""
    text = str(error)
    if isinstance(error, StoreUnavailable):
        # It may name paths and hosts; who runs commands on this machine may know them.
        text += f": {' '.join(error.reason.split())}"
    click.echo(f"error: {text}", err=True)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their titles."""
    print_columns([titles, *rows])


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows, each cell below that of the row before."""
    columns = range(len(rows[0]) if rows else 0)
    widths = [max(len(row[column]) for row in rows) for column in columns]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal but stand there: what is not visible is written out."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


def span(seconds: float) -> str:
    """Word a time span by its two largest units: ``0.52s``, ``5m12s``, ``2h05m``, ``3d04h``."""
    for unit, name, smaller, smaller_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            return f"{whole}{name}{rest // smaller:02}{smaller_name}"
    return f"{max(0.0, seconds):.2f}s"
