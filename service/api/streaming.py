"""Answers that are sent while they are made.

pieces ─> as many as are at hand ─> one write
          (a piece never waits for the next one)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from flask import Response

from service.api.requests import trace
from service.engine.base import Outcomes

#: Bytes after which pieces are sent, even if there are more at hand.
MAX_WRITE = 64 * 1024


def response(
    pieces: Iterator[bytes], media_type: str, outcomes: Outcomes, close: Callable[[], None] = lambda: None
) -> Response:
    """Answer with the pieces made from outcomes; when the answer ends, however it does, so does the work.

    Raises what the first piece raises: a service that is full says so, instead of breaking off.
    """
    first = next(pieces, b"")
    trace().streamed = True
    answer = Response(_joined(itertools.chain([first], pieces), outcomes), content_type=media_type)
    # Not in the generator: one that has not begun ends without a word.
    answer.call_on_close(outcomes.close)
    answer.call_on_close(close)
    return answer


def _joined(pieces: Iterator[bytes], outcomes: Outcomes) -> Iterator[bytes]:
    ready = bytearray()
    for piece in pieces:
        ready += piece
        if not outcomes.at_hand or len(ready) >= MAX_WRITE:
            yield bytes(ready)
            ready.clear()
    if ready:
        yield bytes(ready)
