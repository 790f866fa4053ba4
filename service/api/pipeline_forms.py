"""The forms in which the results of a pipeline are sent.

application/x-ndjson   {"item": …} a line, {"skipped": problem} for one that was left out; the last line is
                       {"summary": …} or {"error": problem}
text/event-stream      the same as events called item, skipped, summary and error
application/json       {"pipeline", "results": […], "skipped": [problems], "summary" or "error"}, written
                       piece by piece
the pipeline's own     the bytes that its last stage gives, one after the other
"""

from __future__ import annotations

from typing import Any, Protocol

from service.api import streams
from service.api.results import dumps
from service.api.streaming import BrokenOff
from service.errors import EverycoreError
from service.pipelines.results import promised_bytes
from service.tasks.pipelines import Pipeline

#: Items left out that an answer in JSON tells of; they are kept until its end, and may be many.
MAX_SKIPPED = 1000

Document = dict[str, Any]


class Form(Protocol):
    """How results are written; a piece may be empty."""

    media_type: str

    def item(self, value: Any) -> bytes:
        """Write a result; raises ``ValueError``, ``TypeError`` or ``RecursionError`` if it can't be."""
        ...

    def skipped(self, problem: Document) -> bytes:
        """Write why an item was left out."""
        ...

    def summary(self, summary: Document) -> bytes:
        """Write the end of a run that came to its end."""
        ...

    def error(self, error: EverycoreError, problem: Document) -> bytes:
        """Write the end of a run that did not, or raise ``BrokenOff`` where that can't be written."""
        ...


def form_for(pipeline: Pipeline) -> Form:
    """Return the form that the pipeline's results have in answer to this request."""
    if pipeline.media_type is not None:
        return Raw(pipeline.media_type)
    if (media_type := streams.media_type()) == streams.JSON:
        return Listed(pipeline.name)
    return Messages(media_type)


class Messages:
    """One by one, as lines or as events."""

    def __init__(self, media_type: str) -> None:
        """Write lines, or events if the media type is that of events."""
        self.media_type = media_type
        self._write = streams.event if media_type == streams.EVENTS else streams.line

    def item(self, value: Any) -> bytes:
        """Write a result."""
        return self._write("item", value)

    def skipped(self, problem: Document) -> bytes:
        """Write why an item was left out."""
        return self._write("skipped", problem)

    def summary(self, summary: Document) -> bytes:
        """Write that all went well."""
        return self._write("summary", summary)

    def error(self, error: EverycoreError, problem: Document) -> bytes:  # noqa: ARG002 - the protocol's
        """Write what went wrong."""
        return self._write("error", problem)


class Listed:
    """As one object, a list among its members."""

    media_type = streams.JSON

    def __init__(self, name: str) -> None:
        """``name`` is that of the pipeline."""
        self._head: bytes = dumps({"pipeline": name})[:-1] + b',"results":['
        self._skipped: list[bytes] = []
        self._between = b""

    def item(self, value: Any) -> bytes:
        """Write a result, and what stands before it."""
        written = dumps(value)
        return self._begin() + self._after_comma(written)

    def skipped(self, problem: Document) -> bytes:
        """Keep why an item was left out: that comes behind the results."""
        if len(self._skipped) < MAX_SKIPPED:
            self._skipped.append(dumps(problem))
        return b""

    def summary(self, summary: Document) -> bytes:
        """Write the rest."""
        return self._end("summary", summary)

    def error(self, error: EverycoreError, problem: Document) -> bytes:  # noqa: ARG002 - the protocol's
        """Write the rest, with what went wrong."""
        return self._end("error", problem)

    def _begin(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _after_comma(self, written: bytes) -> bytes:
        between, self._between = self._between, b","
        return between + written

    def _end(self, kind: str, value: Document) -> bytes:
        tail = dumps({kind: value})[1:]
        return self._begin() + b'],"skipped":[' + b",".join(self._skipped) + b"]," + tail


class Raw:
    """As they are."""

    def __init__(self, media_type: str) -> None:
        """``media_type`` is what all of them together are."""
        self.media_type = media_type

    def item(self, value: Any) -> bytes:
        """Return a result; raises ``TaskFailed`` for one that is not bytes."""
        return promised_bytes(value, self.media_type)

    def skipped(self, problem: Document) -> bytes:  # noqa: ARG002 - the protocol's
        """Write nothing; the log has it."""
        return b""

    def summary(self, summary: Document) -> bytes:  # noqa: ARG002 - as above
        """Write nothing: the end says that all is there."""
        return b""

    def error(self, error: EverycoreError, problem: Document) -> bytes:  # noqa: ARG002 - as above
        """Leave the answer without its end."""
        raise BrokenOff(str(error)) from error
