"""Tasks on pictures that move."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Annotated

from PIL import Image
from pydantic import Field

from service.tasks.images import open_image, true_colour
from service.tasks.invalid_input import InvalidInput
from service.tasks.progress import progress
from service.tasks.registry import task

#: Pixels of all frames together.
MAX_PIXELS = 50_000_000


@task(timeout=60, media_type="application/zip")
def animation_frames(image: bytes, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> bytes:
    """Take an animation apart: a ZIP archive of its first frames as PNG, and of frames.json.

    Takes animated GIF, WebP and PNG and TIFF of several pages; a still picture has one frame. The
    frames may have 50 million pixels together. frames.json says for how many milliseconds each frame
    is shown.
    """
    picture = open_image(image)
    out, durations = io.BytesIO(), []
    # Not compressed again: PNG is.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, (frame, duration) in enumerate(_frames(picture, limit)):
            archive.writestr(zipfile.ZipInfo(f"frame-{number:04}.png"), _png(frame))
            durations.append(duration)
            progress(number + 1)
        archive.writestr(zipfile.ZipInfo("frames.json"), json.dumps({"durations": durations}))
    return out.getvalue()


def _frames(picture: Image.Image, limit: int) -> Iterator[tuple[Image.Image, float]]:
    """Yield frames as they are shown, with their time in milliseconds."""
    pixels = 0
    for number in range(limit):
        try:
            picture.seek(number)
            # Before decoding; a page of a TIFF has a size of its own.
            pixels += picture.width * picture.height
            frame = true_colour(picture) if pixels <= MAX_PIXELS else None
        except EOFError:
            return
        except MemoryError:
            raise
        except Exception as error:
            raise InvalidInput(f"frame {number} can't be decoded: {error}") from error
        if frame is None:
            raise InvalidInput(f"the first {number + 1} frames have more than {MAX_PIXELS} pixels together")
        yield frame, picture.info.get("duration", 0)


def _png(frame: Image.Image) -> bytes:
    out = io.BytesIO()
    frame.info = {}
    # A quarter of the time for a tenth more bytes.
    frame.save(out, "PNG", compress_level=1)
    return out.getvalue()
