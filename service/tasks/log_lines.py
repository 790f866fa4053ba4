"""A log in pieces of whole lines, from text or gzip; in little memory, however much it unpacks to."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator

from service.tasks.invalid_input import InvalidInput

#: Bytes that are unpacked at once, and about as many a piece has.
PIECE = 256 * 1024

#: Longest line that is kept, in bytes.
MAX_LINE = 1024 * 1024

#: Stands where a longer one was; a line in no format.
TOO_LONG = b"(more than %d bytes without a line end)\n" % MAX_LINE

_GZIP_MAGIC = b"\x1f\x8b"


def pieces_of(log: bytes) -> Iterator[bytes]:
    """Yield the log bit by bit, each piece to the end of a line, the last one to the end of the log.

    Raises ``InvalidInput`` where gzip data is damaged or breaks off.
    """
    return _whole_lines(_unpacked(log) if log.startswith(_GZIP_MAGIC) else _sliced(log))


def _sliced(log: bytes) -> Iterator[bytes]:
    for start in range(0, len(log), PIECE):
        yield log[start : start + PIECE]


def _unpacked(log: bytes) -> Iterator[bytes]:
    """Unpack gzip, of several members too, as they come from logs that are written on or put together."""
    size = 0
    with gzip.GzipFile(fileobj=io.BytesIO(log)) as file:
        while True:
            try:
                # What there is in some kilobytes of input, so that the place of an error is known.
                block = file.read1(PIECE)
            except EOFError:
                raise InvalidInput(f"the gzip data breaks off after {size} bytes of text") from None
            except (OSError, zlib.error) as error:
                reason = f"the gzip data is damaged after about {size} bytes of text: {error}"
                raise InvalidInput(reason) from error
            if not block:
                return
            size += len(block)
            yield block


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest, skipping = b"", False
    for block in blocks:
        fresh = block
        if skipping:
            _, end, fresh = block.partition(b"\n")
            skipping = not end
        rest += fresh
        if len(rest) < PIECE:
            continue
        end_of_lines = rest.rfind(b"\n") + 1
        if end_of_lines:
            yield rest[:end_of_lines]
            rest = rest[end_of_lines:]
        if len(rest) > MAX_LINE:
            yield TOO_LONG
            rest, skipping = b"", True
    if rest:
        yield rest
