"""Answers that are sent while they are made.

pieces ─> as many as are at hand ─> one write
          (a piece never waits for the next one)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

from flask import Response

from service.api.requests import trace

#: Bytes after which pieces are sent, even if there are more at hand.
MAX_WRITE = 64 * 1024


class Work(Protocol):
    """What the pieces are made from: the outcomes of a run, or the results of a pipeline."""

    @property
    def at_hand(self) -> bool:
        """Whether there is a next one already."""
        ...

    def close(self) -> None:
        """Stop what is left; a second call does nothing."""
        ...


class BrokenOff(ConnectionAbortedError):
    """An answer can't be sent to its end; without that end its client notices (``service.api.worker``)."""


def response(
    pieces: Iterator[bytes], media_type: str, work: Work, close: Callable[[], None] = lambda: None
) -> Response:
    """Answer with the pieces made from work; when the answer ends, however it does, so does the work.

    Raises what the first piece raises: a service that is full says so, instead of breaking off.
    """
    first = next(pieces, b"")
    trace().streamed = True
    answer = Response(_joined(itertools.chain([first], pieces), work), content_type=media_type)
    # Not in the generator: one that has not begun ends without a word.
    answer.call_on_close(work.close)
    answer.call_on_close(close)
    return answer


def _joined(pieces: Iterator[bytes], work: Work) -> Iterator[bytes]:
    ready = bytearray()
    try:
        for piece in pieces:
            ready += piece
            if not work.at_hand or len(ready) >= MAX_WRITE:
                yield bytes(ready)
                ready.clear()
    except BrokenOff:
        yield bytes(ready)
        raise
    if ready:
        yield bytes(ready)
