"""Request bodies: never longer than allowed, never shorter than announced."""

from __future__ import annotations

import io
import time
from typing import IO, Any

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from service.api import receiving
from service.api.problems import BodyTooLarge, BodyTooSlow, CompressedBody, MalformedBody

#: Parts of a multipart form: more than a task has arguments.
MAX_PARTS = 100

_STEP = 1024 * 1024


def read_body(request: Request, limit: int, until: float) -> bytes:
    """Return the whole body.

    Reads the server's own stream: Werkzeug cuts a chunked body at its limit and says nothing.
    Raises ``BodyTooLarge`` (before reading, when the length is announced), ``MalformedBody``, or
    ``BodyTooSlow`` when the body is not there by the ``time.monotonic()`` time ``until``.
    """
    refuse_compressed(request)
    length = request.content_length
    if length is not None and length > limit:
        raise BodyTooLarge(limit)
    if length is None and "wsgi.input_terminated" not in request.environ:
        # Such a server's stream has no end of its own.
        return b""
    stream, size = request.environ["wsgi.input"], limit + 1 if length is None else length
    with receiving.allowed_until(request.environ.get("gunicorn.socket"), until):
        body = _read(stream, size, until)
    if len(body) > limit:
        raise BodyTooLarge(limit)
    if length is not None and len(body) < length:
        raise broken(until, f"the body ends after {len(body)} of {length} bytes")
    return body


def refuse_compressed(request: Request) -> None:
    """Raise ``CompressedBody`` for a body that would have to be unpacked first, to who knows how much."""
    environ = request.environ
    transfer = environ.get("HTTP_TRANSFER_ENCODING", "chunked")
    for coding in environ.get("HTTP_CONTENT_ENCODING", "identity"), transfer:
        if coding.lower() not in ("identity", "chunked"):
            raise CompressedBody(coding)


def broken(until: float, reason: str) -> MalformedBody | BodyTooSlow:
    """Return the error for a body that ends too early: it may have been cut off for its slowness."""
    return MalformedBody(reason) if time.monotonic() < until else BodyTooSlow()


def parse_multipart(request: Request, body: bytes) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """Return the text fields and the files of a ``multipart/form-data`` body, all in memory.

    Raises ``MalformedBody`` or ``BodyTooLarge``.
    """
    boundary = request.mimetype_params.get("boundary", "").encode("ascii", "replace")
    if not boundary:
        raise MalformedBody("the Content-Type of the form names no boundary")
    if boundary not in body:
        raise MalformedBody("the boundary that the Content-Type names is not in the body")
    parser = MultiPartParser(_in_memory, len(body), max_form_parts=MAX_PARTS)
    try:
        return parser.parse(io.BytesIO(body), boundary, len(body))
    except RequestEntityTooLarge:
        raise MalformedBody(f"the form has more than {MAX_PARTS} parts") from None
    except ValueError as error:
        # The parser names its own state then.
        reason = "it ends before its last boundary" if "cannot parse" in str(error) else error
        raise MalformedBody(f"the body is not multipart/form-data: {reason}") from None


def _in_memory(
    total_content_length: int | None,  # noqa: ARG001 - the parser's protocol
    content_type: str | None,  # noqa: ARG001
    filename: str | None,  # noqa: ARG001
    content_length: int | None = None,  # noqa: ARG001
) -> IO[bytes]:
    """Keep a file where the whole body is anyway; Werkzeug would write it to disk."""
    return io.BytesIO()


def _read(stream: Any, size: int, until: float) -> bytes:
    parts = []
    try:
        while size > 0 and (part := stream.read(min(size, _STEP))):
            parts.append(part)
            size -= len(part)
    except Exception as error:
        # Each server has errors of its own for a bad chunk or a client that went away.
        raise broken(until, "the body breaks off, or its chunks are malformed") from error
    return b"".join(parts)
