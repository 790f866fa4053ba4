"""Tasks on pictures."""

import io
import warnings
from typing import Annotated, Any, Literal

from PIL import Image, ImageOps
from pydantic import Field

from service.tasks.invalid_input import InvalidInput
from service.tasks.registry import task

#: What is decoded; anything else is refused before a decoder sees it.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")

#: Largest picture that is decoded, in pixels: about 200 MB as RGBA.
MAX_PIXELS = 50_000_000

_ORIENTATION = 0x0112
_QUARTER_TURNS = range(5, 9)

Side = Annotated[int, Field(ge=1, le=4096)]


def _media_type(*, format: str = "jpeg", **_: Any) -> str:  # noqa: A002 - named as the task's argument
    return f"image/{format}"


@task(timeout=30, media_type=_media_type)
def thumbnail(
    image: bytes,
    width: Side = 256,
    height: Side = 256,
    format: Literal["jpeg", "png"] = "jpeg",  # noqa: A002 - the word a client looks for
) -> bytes:
    """Shrink a picture to fit into width x height pixels, upright and in its own proportions.

    Takes JPEG, PNG, GIF (first frame), WebP, BMP and TIFF. A smaller picture keeps its size.
    Metadata is dropped; JPEG shows transparent parts as white.
    """
    picture = _small(_open(image), width, height)
    out = io.BytesIO()
    if format == "jpeg":
        _opaque(picture).save(out, "JPEG", quality=85)
    else:
        picture.save(out, "PNG")
    return out.getvalue()


def _open(data: bytes) -> Image.Image:
    """Read the header only, and refuse what is no picture or too large to decode."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of sizes that we are going to refuse.
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InvalidInput(f"the image has more than {MAX_PIXELS} pixels") from None
    except Exception as error:
        raise InvalidInput(f"the image is none of {', '.join(FORMATS)}, or its header is broken") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise InvalidInput(f"the image has {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}")
    return picture


def _small(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Decode, shrink and turn upright."""
    try:
        if picture.getexif().get(_ORIENTATION) in _QUARTER_TURNS:
            width, height = height, width
        # A JPEG can be decoded at a half, a quarter, an eighth of its size: much faster.
        picture.draft("RGB", (2 * width, 2 * height))
        small = _true_colour(picture)
        small.thumbnail((width, height), Image.Resampling.LANCZOS)
        return _without_metadata(ImageOps.exif_transpose(small))
    except MemoryError:
        raise
    except Exception as error:
        # A lying picture can raise nearly anything in a decoder.
        raise InvalidInput(f"the image can't be decoded: {error}") from error


def _true_colour(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16 bit to 8 instead of scaling them.
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def _without_metadata(picture: Image.Image) -> Image.Image:
    picture.info = {}
    return picture
