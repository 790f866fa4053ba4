"""Thumbnails and filters of real pictures, and of bytes that pretend to be pictures."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any, get_args, get_type_hints

import pytest
from PIL import Image

from service.tasks import InvalidInput
from service.tasks.images import MAX_PIXELS, MAX_WHOLE_PIXELS, image_filter, thumbnail
from service.tasks.registry import get


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def picture(width: int = 400, height: int = 200, mode: str = "RGB") -> Image.Image:
    """The left half red, the right half blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image.convert(mode)


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    empty = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + chunk + empty


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_picture_fits_the_box_in_its_own_proportions(kind: str) -> None:
    small = decoded(thumbnail(encoded(picture(), kind), width=100, height=100))

    assert (small.format, small.size, small.mode) == ("JPEG", (100, 50), "RGB")
    assert small.getpixel((10, 25))[0] > 200  # type: ignore[index]
    assert small.getpixel((90, 25))[2] > 200  # type: ignore[index]


def test_png_is_answered_on_demand_and_keeps_transparency() -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))

    small = decoded(thumbnail(encoded(clear), format="png"))

    assert (small.format, small.mode, small.getpixel((5, 5))) == ("PNG", "RGBA", (0, 0, 0, 0))


def test_jpeg_shows_transparent_parts_as_white() -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))

    assert decoded(thumbnail(encoded(clear))).getpixel((5, 5)) == (255, 255, 255)


def test_the_orientation_of_a_camera_is_applied_and_not_passed_on() -> None:
    # Given a picture that a camera took while it lay on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "taken at home"

    # When it is shrunk
    small = decoded(thumbnail(encoded(picture(), "JPEG", exif=exif), width=100, height=100))

    # Then it stands upright, red on top, and tells nothing of where it was taken
    assert small.size == (50, 100)
    assert small.getpixel((25, 10))[0] > 200  # type: ignore[index]
    assert not small.getexif()


def test_a_small_picture_keeps_its_size() -> None:
    assert decoded(thumbnail(encoded(picture(20, 10)))).size == (20, 10)


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("P", "GIF"), ("1", "PNG"), ("LA", "PNG")]
)
def test_every_colour_mode_becomes_a_jpeg(mode: str, kind: str) -> None:
    assert decoded(thumbnail(encoded(picture(mode=mode), kind))).mode == "RGB"


def test_sixteen_bits_are_scaled_to_eight() -> None:
    grey = Image.new("I;16", (10, 10), 0x8000)

    level = decoded(thumbnail(encoded(grey), format="png")).getpixel((5, 5))

    assert level == (128, 128, 128)


def test_the_media_type_follows_the_format() -> None:
    task = get("thumbnail")

    assert task.media_type_of({"image": b""}) == "image/jpeg"
    assert task.media_type_of({"image": b"", "format": "png"}) == "image/png"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"P6 10 10 255\n" + b"\0" * 300,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        encoded(picture())[:-40],
        encoded(picture(), "JPEG")[:200],
        encoded(picture(), "GIF")[:20],
        encoded(picture(), "WEBP")[:60],
        png_header(100, 100),
        b"".join([encoded(picture())[:60], b"\0" * 60, encoded(picture())[120:]]),
    ],
)
def test_what_is_no_whole_picture_is_the_clients_fault(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="the image"):
        thumbnail(data)


@pytest.mark.parametrize("size", [(8000, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match=f"more than {MAX_PIXELS}"):
            thumbnail(png_header(*size))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_memory_that_runs_out_is_not_the_clients_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "thumbnail", run_out)

    with pytest.raises(MemoryError):
        thumbnail(encoded(picture()))


FILTERS = get_args(get_type_hints(image_filter)["filter"])


def filtered(image: Image.Image, name: Any, **options: Any) -> Image.Image:
    return decoded(image_filter(encoded(image), name, format="png", **options))


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_changes_a_picture_and_keeps_its_size(name: Any) -> None:
    original = picture(40, 20).convert("RGB")
    # Not at its full range, for the sake of the contrast
    original.paste((200, 40, 90), (5, 5, 15, 15))
    muted = original.point(lambda level: level // 2 + 20)

    changed = filtered(muted, name)

    assert (changed.size, changed.mode) == ((40, 20), "RGB")
    assert changed.tobytes() != muted.tobytes()


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("greyscale", (76, 76, 76)),  # 0.299 of 255
        ("invert", (0, 255, 255)),
        ("blur", (255, 0, 0)),
        ("edges", (0, 0, 0)),
        ("contrast", (255, 0, 0)),
    ],
)
def test_the_middle_of_a_red_area_becomes_what_it_should(name: Any, pixel: tuple[int, int, int]) -> None:
    assert filtered(picture(100, 50), name).getpixel((25, 25)) == pixel


def test_blur_mixes_what_is_within_the_radius() -> None:
    near, far = (filtered(picture(100, 50), "blur", radius=radius).getpixel((44, 25)) for radius in (1, 10))

    assert near == (255, 0, 0)
    assert far[0] < 240  # type: ignore[index]
    assert far[2] > 15  # type: ignore[index]


def test_contrast_reaches_from_black_to_white() -> None:
    grey = Image.new("RGB", (20, 10), (100, 100, 100))
    grey.paste((150, 150, 150), (10, 0, 20, 10))

    changed = filtered(grey, "contrast")

    assert (changed.getpixel((2, 2)), changed.getpixel((15, 5))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_leave_transparency_alone(name: Any) -> None:
    glass = picture(20, 10).convert("RGBA")
    glass.putalpha(100)

    changed = filtered(glass, name)

    assert (changed.mode, changed.getchannel("A").getextrema()) == ("RGBA", (100, 100))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_take_a_picture_of_one_pixel(name: Any) -> None:
    assert filtered(picture(1, 1), name, radius=100).size == (1, 1)


def test_a_filtered_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    changed = decoded(image_filter(encoded(picture(), "JPEG", exif=exif), "greyscale"))

    assert (changed.format, changed.size) == ("JPEG", (200, 400))


def test_a_picture_that_is_too_large_to_filter_may_still_be_shrunk() -> None:
    header = png_header(5000, 5000)

    with pytest.raises(InvalidInput, match=f"more than {MAX_WHOLE_PIXELS}"):
        image_filter(header, "invert")
    with pytest.raises(InvalidInput, match="can't be decoded"):
        thumbnail(header)
