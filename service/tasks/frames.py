"""Frames of videos from strangers, decoded with care. It needs PyAV, an extra."""

import io
from collections.abc import Callable, Iterator
from typing import TypeVar

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from service.tasks.invalid_input import InvalidInput

#: Containers that are opened, by FFmpeg's names; anything else is refused before its reader sees it. Each
#: holds everything itself (no playlists) and names its streams at the beginning.
FORMATS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi")

#: Decoders that are used, by FFmpeg's names.
DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "h263", "mpeg2video", "mjpeg", "prores")

#: Largest frame that is decoded, in pixels: 4K. A decoder may keep 17 of them, of 1.5 bytes or more a pixel.
MAX_PIXELS = 10_000_000

#: Seconds between two frames from which on it pays to jump to the next key frame.
JUMP_SECONDS = 5.0

#: Seconds that a frame may be early: Matroska rounds to a millisecond.
_EARLY = 0.001

T = TypeVar("T")


def frames_of(
    video: bytes, every: float, limit: int, take: Callable[[float, VideoFrame, float], T]
) -> Iterator[T]:
    """Yield the first frame and then one about every so many seconds, each as ``take`` returns it.

    That is given the seconds since the first frame, the frame, and how many times as wide as high its pixels
    are. Raises ``InvalidInput`` for a video that can't be decoded.
    """
    count = 0
    with _open(video) as container:
        stream = _video_stream(container)
        try:
            for time, frame in _due(container, stream, every):
                yield take(time, frame, float(stream.sample_aspect_ratio or 1))
                count += 1
                if count == limit:
                    return
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # The decoder of H.264 takes a lack of memory for bad data: raises MemoryError if that was it.
            bytearray(3 * stream.codec_context.width * stream.codec_context.height)
            reason = f"the video can't be decoded after {count} frames: {error.strerror}"
            raise InvalidInput(reason) from error
    if not count:
        raise InvalidInput("the video has no frame that can be decoded")


def _open(video: bytes) -> InputContainer:
    options = {
        "format_whitelist": ",".join(FORMATS),
        # No way to a file or the network, should one of these formats come to refer to any.
        "protocol_whitelist": "",
        "codec_whitelist": ",".join(DECODERS),
        # Frames are decoded here already, to learn about the streams.
        "max_pixels": str(MAX_PIXELS),
    }
    try:
        # Names and titles may be in any encoding.
        return av.open(io.BytesIO(video), "r", options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise InvalidInput(
            "the video is none of MP4, MOV, WebM, Matroska and AVI, or its header is broken"
        ) from error


def _video_stream(container: InputContainer) -> VideoStream:
    # A cover is a video stream of one frame, for FFmpeg.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise InvalidInput("the file has no video stream")
    stream, codec = streams[0], streams[0].codec_context
    # Whatever the type hint says, it is None for a codec that FFmpeg does not know.
    decoder = getattr(codec, "name", "none")
    if decoder not in DECODERS:
        raise InvalidInput(f"the decoder of the video would be {decoder}; used are {', '.join(DECODERS)}")
    # FFmpeg forgets the size of most videos that are too large.
    if not 0 < codec.width * codec.height <= MAX_PIXELS:
        raise InvalidInput(f"the video has more than {MAX_PIXELS} pixels a frame, or it is not to be told")
    # A video may change its size on the way.
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    # A call holds one CPU.
    codec.thread_type, codec.thread_count = ThreadType.NONE, 1
    return stream


def _due(container: InputContainer, stream: VideoStream, every: float) -> Iterator[tuple[float, VideoFrame]]:
    """Yield the frames that are to be shown, each with its seconds since the first."""
    start = now = due = 0.0
    jumps, jumped = every >= JUMP_SECONDS, False
    for number, frame in enumerate(container.decode(stream)):
        before, now = now, _seconds(frame, now + start) - start
        if number == 0:
            start, now = now, 0.0
        if jumped and now <= before:
            # Key frames are farther apart than the frames to be shown: plain reading is faster.
            jumps = False
        jumped = False
        if now + _EARLY < due:
            continue
        yield now, frame
        if every:
            due = now + _EARLY - (now + _EARLY) % every + every
        if jumps:
            jumps = jumped = _jump(container, stream, start + due)


def _seconds(frame: VideoFrame, unknown: float) -> float:
    stamp = frame.dts if frame.pts is None else frame.pts
    return unknown if stamp is None else float(stamp * (frame.time_base or 1))


def _jump(container: InputContainer, stream: VideoStream, seconds: float) -> bool:
    """Go on at the last key frame before a time; returns whether that can be done in this video."""
    try:
        container.seek(int(seconds / (stream.time_base or 1)), stream=stream)
    except (av.FFmpegError, OverflowError):
        return False
    return True
