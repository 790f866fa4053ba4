"""A pipeline that shrinks many pictures at once.

archive or pictures ─> pictures, one by one ─> thumbnails, on two processes ─> archive, bit by bit
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.tasks.archives import MAX_FILES, Names, archive_of, files_of, is_archive
from service.tasks.images import Side, thumbnail
from service.tasks.invalid_input import InvalidInput
from service.tasks.pipelines import Pipeline, Stage

Format = Literal["jpeg", "png"]

_ENDINGS: dict[Format, str] = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, and how small it is to become."""

    name: str
    image: bytes
    width: int
    height: int
    format: Format


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """What it became."""

    #: Still the picture's.
    name: str
    image: bytes
    format: Format


def find_pictures(
    images: bytes | list[bytes],
    width: Side = 256,
    height: Side = 256,
    format: Format = "jpeg",  # noqa: A002 - the word a client looks for
) -> Iterator[Picture]:
    """Shrink pictures to fit into width x height pixels each, and put them into a ZIP archive.

    Takes a ZIP archive of up to 1000 pictures, or the pictures themselves, in the formats that thumbnail
    takes. Names and folders of an archive are kept, other pictures are numbered. Hidden files are left out.
    """
    number = 0
    for number, (name, image) in enumerate(_named([images] if isinstance(images, bytes) else images), 1):
        if number > MAX_FILES:
            raise InvalidInput(f"there are more than {MAX_FILES} pictures")
        yield Picture(name, image, width, height, format)
    if not number:
        raise InvalidInput("there is no picture in it")


def _named(uploads: list[bytes]) -> Iterator[tuple[str, bytes]]:
    for number, upload in enumerate(uploads, 1):
        if is_archive(upload):
            yield from files_of(upload)
        else:
            yield f"image-{number:04}", upload


def shrink_picture(picture: Picture) -> Thumbnail:
    """Make the thumbnail of a picture."""
    try:
        image = thumbnail(picture.image, picture.width, picture.height, picture.format)
    except InvalidInput as error:
        raise InvalidInput(f"{picture.name!r}: {error}") from error
    return Thumbnail(picture.name, image, picture.format)


def pack(thumbnails: Iterator[Thumbnail]) -> Iterator[bytes]:
    """Put thumbnails into an archive, which leaves as it is made."""
    names = Names()
    yield from archive_of((names.new(each.name, _ENDINGS[each.format]), each.image) for each in thumbnails)


# A picture may be large, so few of them wait.
image_gallery = Pipeline(
    "image_gallery",
    find_pictures,
    Stage(shrink_picture, processes=2),
    pack,
    buffer=2,
    timeout=120,
    media_type="application/zip",
)
