"""A task and a pipeline on videos. They need PyAV, an extra: see ``registry.EXTRAS``.

the task       decoded, shrunk and encoded frame by frame
the pipeline   decoded ─> raw frames, in shared memory ─> shrunk and encoded, on two processes
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image
from pydantic import Field

from service.tasks.frames import frames_of
from service.tasks.images import Side
from service.tasks.invalid_input import InvalidInput
from service.tasks.pipelines import Pipeline, Stage
from service.tasks.registry import task

Seconds = Annotated[float, Field(ge=0, le=3600)]
Limit = Annotated[int, Field(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video as JPEG."""

    #: Seconds since the first frame.
    time: float
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Plane:
    """Some of what the pixels of a frame consist of: their brightness, for one."""

    values: npt.NDArray[np.uint8]
    #: Bytes from one line to the next.
    line_size: int


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as it comes from its decoder, and what has to be known to show it."""

    time: float
    size: tuple[int, int]
    format: str
    planes: list[Plane]
    #: What its colours mean, by FFmpeg's numbers.
    colorspace: int
    color_range: int
    aspect: float
    rotation: int
    #: The width that it is to be shrunk to.
    width: int


@task(timeout=120)
def video_frames(
    video: bytes, every: Seconds = 1.0, width: Side = 320, limit: Limit = 100
) -> Iterator[Frame]:
    """Take frames out of a video: the first one, then one about every so many seconds (0: each).

    Takes MP4, MOV, WebM, Matroska and AVI with up to 10 million pixels a frame. Frames are shrunk to
    width, never enlarged, upright and in their own proportions.
    """

    def shown(time: float, frame: VideoFrame, aspect: float) -> Frame:
        return _shown(time, frame, aspect, frame.rotation, width)

    yield from frames_of(video, every, limit, shown)


def decode_frames(
    video: bytes, every: Seconds = 1.0, width: Side = 320, limit: Limit = 1000
) -> Iterator[RawFrame]:
    """Take frames out of a video as video_frames does, on several processors.

    One process decodes, two shrink frames and make them JPEG. That pays where frames are large or many: for
    a large width, or for every frame (every = 0).
    """

    def raw(time: float, frame: VideoFrame, aspect: float) -> RawFrame:
        return RawFrame(
            time,
            (frame.width, frame.height),
            frame.format.name,
            [Plane(np.frombuffer(memoryview(plane), np.uint8), plane.line_size) for plane in frame.planes],
            frame.colorspace,
            frame.color_range,
            aspect,
            frame.rotation,
            width,
        )

    yield from frames_of(video, every, limit, raw)


def encode_frame(raw: RawFrame) -> Frame:
    """Shrink a frame, and make it JPEG."""
    try:
        frame = VideoFrame(*raw.size, raw.format)
        for plane, source in zip(frame.planes, raw.planes, strict=True):
            target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            # Either may leave some room behind its lines.
            used = min(plane.line_size, source.line_size)
            target[:, :used] = source.values.reshape(-1, source.line_size)[:, :used]
        frame.colorspace, frame.color_range = raw.colorspace, raw.color_range
        return _shown(raw.time, frame, raw.aspect, raw.rotation, raw.width)
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise InvalidInput(f"the frame at {raw.time:.3f} s can't be shown: {error.strerror}") from error


def _shown(time: float, frame: VideoFrame, aspect: float, rotation: int, width: int) -> Frame:
    picture = _picture(frame, aspect, rotation, width)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return Frame(time, picture.width, picture.height, out.getvalue())


def _picture(frame: VideoFrame, aspect: float, rotation: int, width: int) -> Image.Image:
    """Shrink a frame whose pixels are as wide as ``aspect`` times their height, and turn it upright."""
    across, down = frame.width * min(aspect, 1), frame.height / max(aspect, 1)
    quarters = round(rotation / 90)
    scale = min(1, width / (down if quarters % 2 else across))
    size = [max(1, round(side * scale)) for side in (across, down)]
    small: Image.Image = frame.to_image(  # type: ignore[no-untyped-call]
        width=size[0], height=size[1], interpolation="AREA", threads=1
    )
    return small.rotate(90 * quarters, expand=True)


# A raw frame of 4K has 12 MB, so few of them wait.
video_thumbnails = Pipeline(
    "video_thumbnails", decode_frames, Stage(encode_frame, processes=2), buffer=4, timeout=120
)
