"""The lines of a request body, as they come in.

client ──> thread: pieces, cut into lines ──batches──> the request's thread
                   (waits while nobody takes them)     (never waits: it has results to hand over)
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

from flask import Request

from service.api import receiving
from service.api.bodies import broken, refuse_compressed
from service.api.problems import BodyTooLarge
from service.errors import EverycoreError

#: Pieces of the body that are read ahead, of up to 64 KiB each.
AHEAD = 4

#: Seconds beyond its time after which a feed stops reading, should nobody close it.
GRACE = 2.0

_PIECE = 64 * 1024


class LineFeed:
    """The lines of one body; iterating yields ``None`` when there is none now, but may be later."""

    def __init__(self, request: Request, limit: int, until: float) -> None:
        """Begin to read lines of up to ``limit`` bytes, and stop soon after the monotonic time ``until``."""
        refuse_compressed(request)
        self._stream: Any = request.environ["wsgi.input"]
        self._sock: Any = request.environ.get("gunicorn.socket")
        self._left = request.content_length
        if self._left is None and "wsgi.input_terminated" not in request.environ:
            self._left = 0  # such a server's stream has no end of its own
        self._limit = limit
        self._until = until
        #: Lines, or the error that ends them; an empty list is the end.
        self._batches: queue.Queue[list[bytes] | EverycoreError] = queue.Queue(AHEAD)
        self._closed = False
        #: Whether the body was read to its proper end.
        self._whole = False
        #: Descriptor that is readable when there is more.
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="body-reader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield lines that are not empty; raises ``BodyTooLarge``, ``MalformedBody`` or ``BodyTooSlow``."""
        while True:
            try:
                batch = self._batches.get_nowait()
            except queue.Empty:
                if not self._has_news():
                    yield None
                continue
            if isinstance(batch, EverycoreError):
                raise batch
            if not batch:
                return
            yield from batch

    def _has_news(self) -> bool:
        """Tell whether something was put there since this was asked last."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Stop reading; a second call does nothing. With what is left of the body the connection is lost."""
        if self._closed:
            return
        self._closed = True
        while not self._batches.empty():
            self._batches.get_nowait()
        if not self._whole:
            # Where the next request begins is not known, or nobody has read that far.
            self._stream.failed = True
            if self._sock is not None:
                receiving.shut(self._sock)
        self._thread.join()
        os.close(self.fd)

    # In the thread

    def _read(self) -> None:
        try:
            # A socket that is shut looks like a client that has gone; the run ends by itself until then.
            with receiving.allowed_until(self._sock, self._until + GRACE):
                self._read_lines()
        except EverycoreError as error:
            self._put(error)
        except Exception as error:  # noqa: BLE001 - each server has errors of its own
            reason = broken(self._until, "the body breaks off, or its chunks are malformed")
            reason.__cause__ = error
            self._put(reason)
        else:
            self._whole = not self._closed
            self._put([])

    def _read_lines(self) -> None:
        begun = bytearray()
        while not self._closed and (piece := self._read_piece()):
            begun += piece
            *lines, rest = begun.split(b"\n") if b"\n" in piece else (begun,)
            if any(len(line) > self._limit for line in (*lines, rest)):
                raise BodyTooLarge(self._limit)
            begun = rest
            if batch := [bytes(line) for line in lines if line.strip()]:
                self._put(batch)
        if self._left:
            raise broken(self._until, f"the body ends {self._left} bytes before its length")
        if begun.strip():
            self._put([bytes(begun)])

    def _read_piece(self) -> bytes:
        """Return what has come, without waiting for more; empty at the end."""
        if self._left == 0:
            return b""
        piece = _read_some(self._stream, _PIECE if self._left is None else min(_PIECE, self._left))
        self._left = None if self._left is None else self._left - len(piece)
        return piece

    def _put(self, batch: list[bytes] | EverycoreError) -> None:
        self._batches.put(batch)
        os.eventfd_write(self.fd, 1)


def _read_some(stream: Any, most: int) -> bytes:
    """Read at least one byte, and what else is there; Gunicorn's own ``read`` waits until it has all."""
    reader = getattr(stream, "reader", None)
    if reader is None:
        return bytes(stream.read(most))
    first = reader.read(1)
    # A chunked body keeps what has come in its reader, one of a known length in what that reads from.
    held = getattr(reader, "buf", None) or reader.unreader.buf
    return bytes(first + reader.read(min(held.tell(), most - 1)) if first else b"")
