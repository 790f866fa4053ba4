"""A pipeline that counts lines of a log.

text or gzip ─> pieces of whole lines ─> counts by key, on several processes ─> added up

A piece is several hundred lines, for one alone is read in less time than it would take to be passed on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from service.cpus import available_cpus
from service.tasks.invalid_input import InvalidInput
from service.tasks.log_formats import FORMATS, Name
from service.tasks.log_lines import pieces_of
from service.tasks.log_rows import Example, LogStatistics, rows_of
from service.tasks.pipelines import Pipeline, Stage
from service.tasks.tallies import MAX_KEYS, MAX_NUMBER, Tallies, Tally

#: Processes that read lines: reading takes ten times as long as unpacking.
READERS = max(2, min(4, available_cpus()))

#: Longest key and longest example, in characters; the rest is cut off.
MAX_KEY, MAX_EXAMPLE = 500, 200

#: Values of a line's status or level that tell of an error, in lower case.
ERRORS = {"err", "error", "crit", "critical", "alert", "emerg", "emergency", "fatal", "panic"}
ERRORS |= {str(status) for status in range(500, 600)}

FieldName = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a log."""

    format: Name
    key: str
    value: str | None
    top: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, and what is asked of them."""

    query: Query
    #: Number of the first line, from 1.
    first: int
    lines: bytes


@dataclass(slots=True)
class Counts:
    """What was found in a piece."""

    query: Query
    lines: int = 0
    unreadable: int = 0
    example: Example | None = None
    by_key: dict[str | None, Tally] = field(default_factory=dict)


def read_log(
    log: bytes,
    format: Name = "combined",  # noqa: A002 - the word a client looks for
    key: FieldName = "status",
    value: FieldName | None = None,
    top: Annotated[int, Field(ge=1, le=MAX_KEYS)] = 100,
) -> Iterator[Piece]:
    """Count the lines of a log by what stands in the field key, and sum up the numbers in the field value.

    Takes UTF-8, also packed by gzip. Format combined is that of web servers (common is taken, too), json
    has an object in each line, logfmt has name=value. Lines in another format are counted apart.
    """
    fields = FORMATS[format].fields
    for name in (key, value):
        if fields is not None and name is not None and name not in fields:
            raise InvalidInput(f"a {format} log has no field {name!r}, but {', '.join(fields)}")
    query, first = Query(format, key, value, top), 1
    for lines in pieces_of(log):
        # A small upload may unpack to nothing but millions of line ends.
        if not lines.isspace():
            yield Piece(query, first, lines)
        first += lines.count(b"\n")


def count_lines(piece: Piece) -> Counts:
    """Read the lines of a piece, and count them by key."""
    query, form = piece.query, FORMATS[piece.query.format]
    names = (query.key, query.value or query.key, *form.telling)
    found = Counts(query)
    for number, line in _lines(piece):
        found.lines += 1
        said = form.read(line, names)
        if said is None:
            found.unreadable += 1
            found.example = found.example or Example(number, _presentable(line, MAX_EXAMPLE))
            continue
        key = _key(said[0])
        tally = found.by_key.get(key)
        if tally is None:
            tally = found.by_key[key] = Tally()
        _count(tally, _number(said[1]) if query.value else None, said[2:])
    return found


def add_up(parts: Iterator[Counts]) -> LogStatistics:
    """Put the counts of all pieces together."""
    lines = unreadable = top = 0
    example, tallies = None, Tallies()
    for part in parts:
        lines += part.lines
        unreadable += part.unreadable
        # They come in the order of the lines.
        example = example or part.example
        top = part.query.top
        tallies.add(part.by_key)
    return LogStatistics(lines, unreadable, example, len(tallies.by_key), *rows_of(tallies, top))


def _lines(piece: Piece) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, each with its number."""
    # A byte that is no UTF-8 shows as U+FFFD, and never takes the end of a line with it.
    text = piece.lines.decode("utf-8", "replace")
    if piece.first == 1:
        text = text.removeprefix("\ufeff")
    # Not splitlines(): it would take other characters for an end, too.
    for number, line in enumerate(text.split("\n"), piece.first):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def _count(tally: Tally, number: float | None, telling: Any) -> None:
    tally.count += 1
    if number is not None:
        tally.take(number)
    for said in telling:
        if str(said).lower() in ERRORS:
            tally.errors += 1
            return


def _key(said: Any) -> str | None:
    if said is None:
        return None
    if isinstance(said, bool):
        # As in JSON.
        said = str(said).lower()
    return _presentable(str(said), MAX_KEY)


def _presentable(text: str, most: int) -> str:
    """Cut a text off, and replace what has no form in UTF-8: halves of pairs, which JSON can name."""
    return text[:most].encode("utf-8", "replace").decode()


def _number(said: Any) -> float | None:
    if said is None or isinstance(said, bool):
        return None
    try:
        number = float(said)
    except (ValueError, OverflowError):
        return None
    # Which NaN is not, either.
    return number if -MAX_NUMBER <= number <= MAX_NUMBER else None


log_statistics = Pipeline(
    "log_statistics", read_log, Stage(count_lines, processes=READERS), add_up, timeout=120
)
