"""Tasks on pictures."""

import io
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal

from PIL import Image, ImageFilter, ImageOps
from pydantic import Field

from service.tasks.invalid_input import InvalidInput
from service.tasks.registry import task

#: What is decoded; anything else is refused before a decoder sees it.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")

#: Largest picture that is decoded, in pixels: about 200 MB as RGBA.
MAX_PIXELS = 50_000_000

#: Largest picture that is worked on at its own size, in pixels.
MAX_WHOLE_PIXELS = 20_000_000

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
    return _encode(shrink(open_image(image), width, height), format)


@task(timeout=60, media_type=_media_type)
def image_filter(
    image: bytes,
    filter: Literal["blur", "sharpen", "edges", "emboss", "greyscale", "sepia", "invert", "contrast"],  # noqa: A002
    radius: Annotated[float, Field(gt=0, le=100)] = 2,
    format: Literal["jpeg", "png"] = "jpeg",  # noqa: A002 - as in thumbnail
) -> bytes:
    """Change the look of a picture of up to 20 million pixels, and keep its size and transparency.

    radius is in pixels and counts for blur (Gaussian) and sharpen (unsharp mask). contrast spreads
    the colours over the whole range. Takes, turns and answers what thumbnail does.
    """
    picture = open_image(image, MAX_WHOLE_PIXELS)
    colours = shrink(picture, max(picture.size), max(picture.size))
    alpha = colours.getchannel("A") if colours.mode == "RGBA" else None
    changed = _FILTERS[filter](colours.convert("RGB"), radius)
    if alpha is not None:
        changed.putalpha(alpha)
    return _encode(changed, format)


#: Each takes a picture in RGB and a radius, and returns a new one in RGB.
_FILTERS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "blur": lambda picture, radius: picture.filter(ImageFilter.GaussianBlur(radius)),
    "sharpen": lambda picture, radius: picture.filter(ImageFilter.UnsharpMask(radius)),
    "edges": lambda picture, _: picture.filter(ImageFilter.FIND_EDGES),
    "emboss": lambda picture, _: picture.filter(ImageFilter.EMBOSS),
    "greyscale": lambda picture, _: picture.convert("L").convert("RGB"),
    "sepia": lambda picture, _: ImageOps.colorize(picture.convert("L"), "#1e1008", "#fff4d9", mid="#a47c52"),
    "invert": lambda picture, _: ImageOps.invert(picture),
    "contrast": lambda picture, _: ImageOps.autocontrast(picture),
}


def open_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the header only, and refuse what is no picture or too large to decode."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of sizes that we are going to refuse.
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InvalidInput(f"the image has more than {max_pixels} pixels") from None
    except Exception as error:
        raise InvalidInput(f"the image is none of {', '.join(FORMATS)}, or its header is broken") from error
    if picture.width * picture.height > max_pixels:
        raise InvalidInput(f"the image has {picture.width} x {picture.height} pixels, more than {max_pixels}")
    return picture


def shrink(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Decode to RGB or RGBA, shrink and turn upright; raises ``InvalidInput`` for a broken picture."""
    try:
        if picture.getexif().get(_ORIENTATION) in _QUARTER_TURNS:
            width, height = height, width
        # A JPEG can be decoded at a half, a quarter, an eighth of its size: much faster.
        picture.draft("RGB", (2 * width, 2 * height))
        small = true_colour(picture)
        small.thumbnail((width, height), Image.Resampling.LANCZOS)
        return _without_metadata(ImageOps.exif_transpose(small))
    except MemoryError:
        raise
    except Exception as error:
        # A lying picture can raise nearly anything in a decoder.
        raise InvalidInput(f"the image can't be decoded: {error}") from error


def true_colour(picture: Image.Image) -> Image.Image:
    """Decode to RGB, or to RGBA if parts are transparent."""
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16 bit to 8 instead of scaling them.
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _encode(picture: Image.Image, format: str) -> bytes:  # noqa: A002 - as above
    out = io.BytesIO()
    if format == "jpeg":
        opaque(picture).save(out, "JPEG", quality=85)
    else:
        picture.save(out, "PNG")
    return out.getvalue()


def opaque(picture: Image.Image) -> Image.Image:
    """Show transparent parts as white."""
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def _without_metadata(picture: Image.Image) -> Image.Image:
    picture.info = {}
    return picture
