"""Animations taken apart."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from PIL import Image

from service.tasks import InvalidInput, animations
from service.tasks.animations import animation_frames
from service.tasks.progress import emitter

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def animation(kind: str = "GIF", size: tuple[int, int] = (20, 10), frames: int = 3) -> bytes:
    pictures = [Image.new("RGB", size, COLOURS[i % 3]) for i in range(frames)]
    out = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(
        out, kind, save_all=True, append_images=pictures[1:], **options,
        **({} if kind == "TIFF" else {"duration": [40, 80, 120][:frames]}),
    )  # fmt: skip
    return out.getvalue()


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_every_frame_is_a_picture_of_its_own(kind: str) -> None:
    found = contents(animation_frames(animation(kind)))

    assert list(found) == ["frame-0000.png", "frame-0001.png", "frame-0002.png", "frames.json"]
    frames = [Image.open(io.BytesIO(found[f"frame-000{i}.png"])) for i in range(3)]
    assert [(frame.format, frame.size) for frame in frames] == [("PNG", (20, 10))] * 3
    assert [frame.convert("RGB").getpixel((5, 5)) for frame in frames] == COLOURS
    times = [0, 0, 0] if kind == "TIFF" else [40, 80, 120]
    assert json.loads(found["frames.json"]) == {"durations": times}


def test_frames_are_whole_also_when_the_file_holds_only_what_changes() -> None:
    # Given an animation whose second frame differs from the first in one pixel
    first = Image.new("RGB", (20, 10), "red")
    second = first.copy()
    second.putpixel((3, 3), (0, 0, 255))
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=[second])

    # When it is taken apart
    frame = Image.open(io.BytesIO(contents(animation_frames(out.getvalue()))["frame-0001.png"])).convert(
        "RGB"
    )

    # Then the second frame shows the rest of the first
    assert (frame.size, frame.getpixel((3, 3)), frame.getpixel((15, 5))) == (
        (20, 10),
        (0, 0, 255),
        (255, 0, 0),
    )


def test_only_the_first_frames_are_taken() -> None:
    assert len(contents(animation_frames(animation(), limit=2))) == 3


def test_a_still_picture_has_one_frame() -> None:
    out = io.BytesIO()
    Image.new("L", (5, 5)).save(out, "JPEG")

    assert list(contents(animation_frames(out.getvalue()))) == ["frame-0000.png", "frames.json"]


def test_it_tells_how_far_it_has_come() -> None:
    seen: list[object] = []
    token = emitter.set(lambda kind, data: seen.append((kind, data["done"])))
    try:
        animation_frames(animation())
    finally:
        emitter.reset(token)

    assert seen == [("progress", 1), ("progress", 2), ("progress", 3)]


def test_frames_with_too_many_pixels_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animations, "MAX_PIXELS", 500)

    assert animation_frames(animation(), limit=2)
    with pytest.raises(InvalidInput, match="the first 3 frames have more than 500 pixels"):
        animation_frames(animation())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_an_animation_that_breaks_off_is_no_failure_of_the_task(kind: str, share: float) -> None:
    whole = animation(kind, frames=3)

    try:
        found = contents(animation_frames(whole[: int(len(whole) * share)]))
    except InvalidInput:
        return
    # Some formats can be read up to where they break off.
    assert 1 <= len(found) - 1 <= 3


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"no animation", b"GIF89a\xff\xff\xff\xff\0\0\0" + b"," * 50]
)
def test_what_is_no_animation_is_the_clients_fault(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        animation_frames(data)
