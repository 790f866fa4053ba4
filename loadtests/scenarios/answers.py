"""What a right answer is. Nothing here knows Locust, so tests can import it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

#: Statuses by which a service says that it has no room just now.
REFUSALS = frozenset({429, 503})


class Failure(Exception):
    """A request that did not get what it asked for; its text is a row of Locust's table of failures.

    Failure
    ├── Refused     the service said that it has no room
    ├── Unexpected  another status, or none
    └── Wrong       the status was right, the answer was not
    """


class Refused(Failure):
    """See ``Failure``."""


class Unexpected(Failure):
    """See ``Failure``."""


class Wrong(Failure):
    """See ``Failure``; texts are the same for like mistakes, so that Locust counts them together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    #: The lines of a stream without their ends, or everything in one.
    lines: Sequence[bytes]

    @property
    def content(self) -> bytes:
        """Return the body; of an answer that was not read by lines."""
        return b"".join(self.lines)

    def document(self) -> Document:
        """Return the JSON object that it is."""
        return _object(self.content)


def check_status(answer: Answer, expected: int) -> None:
    """Raise ``Refused`` or ``Unexpected`` unless it is the expected one."""
    if answer.status in REFUSALS:
        raise Refused(str(answer.status))
    if answer.status != expected:
        raise Unexpected(f"status {answer.status} in place of {expected}{_kind(answer)}")


def _kind(answer: Answer) -> str:
    try:
        return f" ({json.loads(b''.join(answer.lines))['type']})"
    except (ValueError, TypeError, KeyError):
        return ""


def is_so(true: object, what: str) -> None:
    """Raise ``Wrong``, saying what should have been, unless it is true."""
    if not true:
        raise Wrong(what)


def sum_of_squares(n: int) -> int:
    """Return the sum of i*i for 0 <= i < n, by the formula and not by the way of the service."""
    return (n - 1) * n * (2 * n - 1) // 6


def check_results(entries: Iterable[Document], expected: Sequence[Callable[[Any], bool] | object]) -> None:
    """Raise ``Wrong`` unless there is one entry for each index, in any order, with what is expected there."""
    seen: set[int] = set()
    for entry in entries:
        index = entry.get("index")
        is_so(isinstance(index, int) and 0 <= index < len(expected), "an index that was not asked for")
        is_so(index not in seen, "an index comes twice")
        seen.add(index)  # type: ignore[arg-type]
        is_so("result" in entry, "an entry has an error")
        right = expected[index]  # type: ignore[index]
        result = entry["result"]
        is_so(right(result) if callable(right) else result == right, "a result is wrong")
    is_so(len(seen) == len(expected), "results are missing")


def check_summary(summary: Document, total: int) -> None:
    """Raise ``Wrong`` unless a map's summary says that all of its calls have succeeded."""
    counts = {name: summary.get(name) for name in ("total", "succeeded", "failed")}
    is_so(counts == {"total": total, "succeeded": total, "failed": 0}, "the summary is wrong")


def ndjson(lines: Iterable[bytes]) -> list[Document]:
    """Return the objects of a stream of lines."""
    return [_object(line) for line in lines if line]


def unpacked(archive: bytes) -> list[bytes]:
    """Return the files of a ZIP archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            is_so(opened.testzip() is None, "the archive is damaged")
            return [opened.read(name) for name in opened.namelist()]
    except zipfile.BadZipFile as error:
        raise Wrong("the answer is no archive") from error


def with_summary(lines: Iterable[bytes]) -> tuple[list[Document], Any]:
    """Return the objects of a stream of lines, and the summary that its last one has."""
    *entries, last = ndjson(lines)
    is_so("summary" in last, "the last line is no summary")
    return entries, last["summary"]


def events(lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the names and the data of server-sent events, which are JSON here."""
    name, data = "message", b""
    for line in lines:
        field, _, value = line.partition(b":")
        if not line and data:
            yield name, _json(data)
            name, data = "message", b""
        elif field == b"event":
            name = value.strip().decode()
        elif field == b"data":
            data += value.strip()
    is_so(not data, "an event breaks off")


def _object(text: bytes) -> Document:
    found = _json(text)
    is_so(isinstance(found, dict), "JSON that is no object")
    document: Document = found
    return document


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Wrong("no JSON") from None
