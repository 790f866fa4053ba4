"""Many pictures made small."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from PIL import Image

from service.tasks import InvalidInput, gallery, registry
from service.tasks.contract import InvalidArguments, build
from service.tasks.gallery import find_pictures, image_gallery, pack, shrink_picture
from service.tasks.testing import run_pipeline


def picture(colour: str = "red", size: tuple[int, int] = (400, 200), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def made_of(images: bytes | list[bytes], **arguments: Any) -> dict[str, Image.Image]:
    made = b"".join(run_pipeline(image_gallery, images=images, **arguments))
    with zipfile.ZipFile(io.BytesIO(made)) as opened:
        assert opened.testzip() is None
        return {name: Image.open(io.BytesIO(opened.read(name))) for name in opened.namelist()}


def test_the_pictures_of_an_archive_keep_names_and_order() -> None:
    names = ["trip/b.png", "a.PNG", "trip/a.png", "a.gif", "ä ö.webp"]
    found = made_of(archive({name: picture() for name in names}))

    assert list(found) == ["trip/b.jpg", "a.jpg", "trip/a.jpg", "a-2.jpg", "ä ö.jpg"]
    assert {(each.format, each.size) for each in found.values()} == {("JPEG", (256, 128))}


def test_a_picture_alone_is_an_archive_of_one() -> None:
    assert list(made_of(picture())) == ["image-0001.jpg"]


def test_several_pictures_are_numbered_and_their_archives_are_opened() -> None:
    found = made_of([picture(), archive({"a.png": picture("blue")}), picture("lime", kind="JPEG")])

    assert list(found) == ["image-0001.jpg", "a.jpg", "image-0003.jpg"]
    colours = [each.resize((1, 1)).tobytes() for each in found.values()]
    assert [colour.index(max(colour)) for colour in colours] == [0, 2, 1]


def test_they_fit_the_box_and_have_the_format_that_are_asked_for() -> None:
    found = made_of(
        archive({"a.png": picture(), "b.png": picture(size=(10, 20))}), width=50, height=50, format="png"
    )

    assert [(name, each.format, each.size) for name, each in found.items()] == [
        ("a.png", "PNG", (50, 25)),
        ("b.png", "PNG", (10, 20)),
    ]


def test_a_thumbnail_leaves_before_the_next_picture_is_read() -> None:
    # Given an archive whose second picture is none
    pictures = find_pictures(archive({"a.png": picture(), "b.png": b"no picture"}))
    arriving = pack(map(shrink_picture, pictures))

    # When it is worked on, then the first thumbnail is there
    assert b"a.jpg" in next(arriving)
    with pytest.raises(InvalidInput):
        next(arriving)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no picture", "'b/a.png': the image is none of JPEG"),
        (b"", "'b/a.png': the image is none of JPEG"),
        (picture()[:100], "'b/a.png': the image can't be decoded"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        made_of(archive({"a.png": picture(), "b/a.png": data}))


@pytest.mark.parametrize("images", [archive({}), archive({"a/": b"", ".hidden": b"x"}), []])
def test_nothing_to_shrink_is_the_clients_fault(images: Any) -> None:
    with pytest.raises(InvalidInput, match="there is no picture in it"):
        made_of(images)


def test_more_pictures_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MAX_FILES", 3)
    two = archive({"a.png": picture(), "b.png": picture()})

    assert len(made_of([two, picture()])) == 3
    with pytest.raises(InvalidInput, match="there are more than 3 pictures"):
        made_of([two, two])


@pytest.mark.parametrize(
    "arguments",
    [{"images": 5}, {"images": [5]}, {"width": 0}, {"height": 5000}, {"format": "gif"}, {"other": 1}],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    terms = build(registry.get("image_gallery"))

    with pytest.raises(InvalidArguments):
        terms.validate_json(json.dumps({"images": "", **arguments}).encode())


@pytest.mark.parametrize("images", ["eA==", ["eA==", "eQ=="]])
def test_one_upload_or_several_are_taken(images: object) -> None:
    given = build(registry.get("image_gallery")).validate_json(json.dumps({"images": images}).encode())

    assert given == {"images": b"x" if isinstance(images, str) else [b"x", b"y"]}
