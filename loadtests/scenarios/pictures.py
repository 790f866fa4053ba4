"""Pictures that are made here, so that it is known what becomes of them; and forms to send them in."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageChops, UnidentifiedImageError

from loadtests.scenarios.answers import is_so

SIZE = (640, 480)
_BOUNDARY = "everycore-load-test"


def _picture() -> Image.Image:
    across = Image.linear_gradient("L").rotate(90).resize(SIZE)
    down = Image.linear_gradient("L").resize(SIZE)
    return Image.merge("RGB", (across, down, Image.new("L", SIZE, 128)))


def _encoded(picture: Image.Image, kind: str) -> bytes:
    output = io.BytesIO()
    picture.save(output, kind)
    return output.getvalue()


_PICTURE = _picture()
JPEG = _encoded(_PICTURE, "JPEG")
PNG = _encoded(_PICTURE.resize((160, 120)), "PNG")
_INVERTED = ImageChops.invert(_PICTURE.resize((160, 120)))


def check(content: bytes, kind: str, size: tuple[int, int]) -> None:
    """Raise ``Wrong`` unless it is the picture in that format and size, about in its colours."""
    picture = _opened(content)
    is_so(picture.format == kind, f"no {kind}")
    is_so(picture.size == size, "the size is wrong")
    small, expected = picture.convert("RGB").resize((4, 3)), _PICTURE.resize((4, 3))
    difference = max(ImageChops.difference(small, expected).tobytes())
    is_so(difference < 24, "the colours are wrong")


def check_inverted(content: bytes) -> None:
    """Raise ``Wrong`` unless it is ``PNG`` with each pixel inverted."""
    picture = _opened(content)
    is_so(picture.format == "PNG", "no PNG")
    is_so(picture.size == _INVERTED.size, "the size is wrong")
    is_so(picture.convert("RGB").tobytes() == _INVERTED.tobytes(), "pixels are wrong")


def _opened(content: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (UnidentifiedImageError, OSError):
        is_so(None, "no picture")
        raise
    return picture


def form(files: Sequence[tuple[str, str, str, bytes]], **fields: object) -> tuple[str, bytes]:
    """Return media type and body of a form; of a file there are field, name, media type and content."""
    parts = [
        f'name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode() + content
        for field, name, kind, content in files
    ]
    parts += [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    body = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n" % (_BOUNDARY.encode(), part) for part in parts
    )
    return f"multipart/form-data; boundary={_BOUNDARY}", body + b"--%b--\r\n" % _BOUNDARY.encode()
