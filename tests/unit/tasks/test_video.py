"""Frames of videos that are made here, and of bytes that pretend to be videos."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image, ImageChops, ImageStat

from service.tasks import InvalidInput, frames, registry
from service.tasks.frames import DECODERS
from service.tasks.testing import run_pipeline
from service.tasks.video import Frame, decode_frames, encode_frame, video_frames, video_thumbnails

RED, BLUE = (255, 0, 0), (0, 0, 255)

#: A container and a codec for each decoder.
KINDS = [
    ("mov", "libx264"),
    ("mp4", "libx265"),
    ("webm", "libvpx"),
    ("webm", "libvpx-vp9"),
    ("mp4", "libsvtav1"),
    ("avi", "mpeg4"),
    ("3gp", "h263"),
    ("matroska", "mpeg2video"),
    ("avi", "mjpeg"),
    ("mov", "prores_ks"),
]


def picture(size: tuple[int, int], number: int) -> Image.Image:
    """The left half red, the right half blue, and a grey bar that grows."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    image.paste("grey", (0, 0, number % size[0], 4))
    return image


@contextlib.contextmanager
def same_priority() -> Iterator[None]:
    """Keep what SVT-AV1 sets where it may, the highest real-time priority, from all tests that follow."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def clip(
    kind: str = "mp4",
    codec: str = "mpeg4",
    *,
    size: tuple[int, int] = (64, 48),
    frames: int = 75,
    key_every: int = 12,
    prepare: Callable[[av.VideoStream], None] = lambda _: None,
    title: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """A video of 25 frames a second, with as many frames from one key frame to the next."""
    out = io.BytesIO()
    with same_priority(), av.open(out, "w", format=kind, options=options) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = (128, 96) if codec == "h263" else size
        stream.pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
        stream.gop_size = key_every
        prepare(stream)
        for number in range(frames):
            frame = av.VideoFrame.from_image(picture((stream.width, stream.height), number))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def sound(*, cover: bool) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        assert isinstance(stream, av.AudioStream)
        art = container.add_stream("mjpeg") if cover else None
        if art is not None:
            assert isinstance(art, av.VideoStream)
            art.width, art.height, art.pix_fmt = 64, 48, "yuvj420p"
            art.disposition = Disposition.attached_pic
            container.mux(art.encode(av.VideoFrame.from_image(picture((64, 48), 0))))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 20480), np.float32), format="fltp", layout="mono")
        samples.rate = 44100
        container.mux(stream.encode(samples))
        container.mux(stream.encode())
    return out.getvalue()


def times(frames: list[Frame]) -> list[float]:
    return [round(frame.time, 2) for frame in frames]


def decoded(frame: Frame) -> Image.Image:
    image = Image.open(io.BytesIO(frame.jpeg))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (frame.width, frame.height))
    return image


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def near(colour: tuple[int, int, int]) -> Any:
    return pytest.approx(colour, abs=30)


def test_each_decoder_that_is_named_is_there() -> None:
    assert set(DECODERS) <= av.codecs_available


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_a_frame_is_taken_each_second(kind: str, codec: str) -> None:
    data = clip(kind, codec)
    frames = list(video_frames(data))

    assert times(frames) == [0, 1, 2]
    for frame in frames:
        image = decoded(frame)
        assert image.getpixel((image.width // 4, image.height // 2)) == near(RED)
        assert image.getpixel((image.width * 3 // 4, image.height // 2)) == near(BLUE)
    assert len(list(video_frames(data, every=0))) == 75


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0, [0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 0.36]),
        (1e-300, [0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 0.36]),
        (0.04, [0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 0.36]),
        (0.1, [0, 0.12, 0.2, 0.32]),
        (0.25, [0, 0.28]),
        (3600, [0]),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_the_frame_is_the_first_one_that_is_due(kind: str, every: float, expected: list[float]) -> None:
    assert times(list(video_frames(clip(kind, "libx264", frames=10), every=every))) == expected


def test_times_count_from_the_first_frame() -> None:
    data = clip("matroska", frames=50, options={"output_ts_offset": "5"})

    assert times(list(video_frames(data))) == [0, 1]


@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi"])
@pytest.mark.parametrize("key_every", [25, 200, 600])
def test_frames_far_apart_are_those_that_plain_reading_finds(kind: str, key_every: int) -> None:
    # Given a video of a minute, with many, few or no key frames in between
    data = clip(kind, frames=1500, size=(32, 32), key_every=key_every)
    plain = {round(frame.time, 2): frame.jpeg for frame in video_frames(data, every=1)}

    # When a frame is taken every 7 seconds
    found = {round(frame.time, 2): frame.jpeg for frame in video_frames(data, every=7)}

    # Then none is another one than it would be
    assert found == {time: plain[time] for time in range(0, 60, 7)}


@pytest.mark.parametrize(("key_every", "most"), [(25, 300), (600, 1600)])
def test_what_lies_between_frames_far_apart_is_decoded_only_without_key_frames(
    key_every: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip(frames=1500, size=(32, 32), key_every=key_every)
    seconds = Mock(side_effect=frames._seconds)
    monkeypatch.setattr(frames, "_seconds", seconds)

    assert len(list(video_frames(data, every=6))) == 10
    assert seconds.call_count <= most


def test_no_more_than_the_limit_are_taken() -> None:
    assert times(list(video_frames(clip(), limit=2))) == [0, 1]


@pytest.mark.parametrize(
    ("width", "size"), [(320, (64, 48)), (64, (64, 48)), (32, (32, 24)), (10, (10, 8)), (1, (1, 1))]
)
def test_frames_are_shrunk_to_the_width_and_never_enlarged(width: int, size: tuple[int, int]) -> None:
    frame = next(video_frames(clip(frames=1), width=width))

    assert decoded(frame).size == size


@pytest.mark.parametrize(
    ("turn", "size", "red"),
    [(90, (48, 64), (24, 60)), (-90, (48, 64), (24, 8)), (180, (64, 48), (60, 24)), (0, (64, 48), (4, 24))],
)
def test_frames_are_upright(turn: int, size: tuple[int, int], red: tuple[int, int]) -> None:
    """As telephones need it, which write down how they were held."""
    data = clip(frames=1, prepare=lambda stream: stream.set_display_rotation(turn))

    image = decoded(next(video_frames(data)))

    assert (image.size, image.getpixel(red)) == (size, near(RED))
    assert next(video_frames(data, width=24)).width == 24


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (64, 36)), (Fraction(1, 2), (32, 48))])
def test_pixels_that_are_not_square_become_square(aspect: Fraction, size: tuple[int, int]) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    assert decoded(next(video_frames(clip(frames=1, prepare=prepare)))).size == size


def test_a_title_may_be_in_any_encoding() -> None:
    data = clip(title="a title").replace(b"a title", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9")

    assert len(list(video_frames(data))) == 3


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_a_video_is_decoded_in_one_thread(codec: str) -> None:
    data = clip("mp4", codec, size=(640, 480), frames=10)
    before = threads()

    assert {threads() for _ in video_frames(data, every=0)} == {before}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no video" * 1000,
        bytes(100_000),
        b"\0\0\0\x20ftypisom" + bytes(100),
        b"\x1a\x45\xdf\xa3" + b"\xff" * 100,
        b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(100),
    ],
)
def test_what_is_no_video_is_the_clients_fault(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"none of MP4, MOV|no video stream"):
        list(video_frames(data))


@pytest.mark.parametrize(("kind", "codec"), [("mpegts", "libx264"), ("flv", "libx264"), ("h264", "libx264")])
def test_other_containers_are_refused(kind: str, codec: str) -> None:
    with pytest.raises(InvalidInput, match="none of MP4, MOV, WebM, Matroska and AVI"):
        list(video_frames(clip(kind, codec, frames=5)))


def test_pictures_are_refused() -> None:
    out = io.BytesIO()
    picture((64, 48), 0).save(out, "JPEG")

    with pytest.raises(InvalidInput, match="none of MP4, MOV, WebM, Matroska and AVI"):
        list(video_frames(out.getvalue()))


@pytest.mark.parametrize("codec", ["ffv1", "rawvideo"])
def test_other_codecs_are_refused(codec: str) -> None:
    with pytest.raises(InvalidInput, match=f"would be {codec}; used are h264, hevc"):
        list(video_frames(clip("matroska", codec, frames=5)))


@pytest.mark.parametrize("cover", [False, True])
def test_sound_is_no_video_even_with_a_cover(*, cover: bool) -> None:
    with pytest.raises(InvalidInput, match="no video stream"):
        list(video_frames(sound(cover=cover)))


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_a_video_with_too_many_pixels_is_refused(
    kind: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip(kind, codec, frames=5)
    monkeypatch.setattr(frames, "MAX_PIXELS", 3000)

    with pytest.raises(InvalidInput, match="more than 3000 pixels a frame"):
        list(video_frames(data))


def test_4k_is_decoded_and_more_is_not() -> None:
    assert next(video_frames(clip(size=(4096, 2304), frames=1))).height == 180
    with pytest.raises(InvalidInput, match="more than 10000000 pixels"):
        list(video_frames(clip(size=(4096, 2560), frames=1)))


@pytest.mark.parametrize("lie", [(8, 8), (60_000, 60_000)])
def test_a_container_that_lies_about_the_size_does_not_help(
    lie: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip("mp4", "libx264", frames=5)
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    lying = data[:at] + struct.pack(">HH", *lie) + data[at + 4 :]
    monkeypatch.setattr(frames, "MAX_PIXELS", 3000)

    with pytest.raises(InvalidInput, match="pixels"):
        list(video_frames(lying))


def growing() -> bytes:
    """A video that is larger from the third frame on, which its container knows nothing of."""
    out = io.BytesIO()
    with av.open(out, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, size in enumerate([(64, 48), (64, 48), (128, 96)]):
            codec = av.VideoCodecContext.create("mjpeg", "w")
            codec.width, codec.height, codec.pix_fmt, codec.time_base = *size, "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_image(picture(size, 0))
            frame.pts = number
            for packet in codec.encode(frame):
                packet.stream = stream
                container.mux(packet)
    return out.getvalue()


def test_a_video_may_change_its_size_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [decoded(f).size for f in video_frames(growing(), every=0)] == [(64, 48), (64, 48), (128, 96)]

    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 48)

    with pytest.raises(InvalidInput, match="can't be decoded after 2 frames"):
        list(video_frames(growing(), every=0))


@pytest.mark.parametrize(("kind", "codec"), KINDS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.8, 0.95])
def test_a_video_that_breaks_off_is_no_failure_of_the_task(kind: str, codec: str, share: float) -> None:
    whole = clip(kind, codec)

    try:
        frames = list(video_frames(whole[: int(len(whole) * share)], every=0))
    except InvalidInput:
        return
    # Some formats can be read up to where they break off.
    assert 1 <= len(frames) <= 75


def test_the_frames_before_a_break_come_before_the_error() -> None:
    whole = clip("mp4", "libx264", options={"movflags": "frag_keyframe+empty_moov"})

    found = video_frames(whole[: len(whole) * 9 // 10], every=0)

    assert times([next(found) for _ in range(50)])[-1] == 1.96
    with pytest.raises(InvalidInput, match=r"can't be decoded after \d\d frames: Invalid data"):
        list(found)


class TestReferences:
    """What refers to other files or to the network reads neither."""

    CONCAT = b"ffconcat version 1.0\nfile secret.mp4\n"
    HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3.0,\n%s\n#EXT-X-ENDLIST\n"
    SDP = b"v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"

    @pytest.fixture(autouse=True)
    def _secret(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "secret.mp4").write_bytes(clip())
        (tmp_path / "secret.ts").write_bytes(clip("mpegts"))
        monkeypatch.chdir(tmp_path)

    def test_without_our_rules_the_file_would_be_read(self) -> None:
        with av.open(io.BytesIO(self.CONCAT), "r") as container:
            assert len(list(container.decode(video=0))) == 75

    @pytest.mark.parametrize(
        "data",
        [CONCAT, HLS % b"secret.ts", HLS % b"file:secret.ts", HLS % b"http://127.0.0.1:9/secret.ts", SDP],
    )
    @pytest.mark.parametrize("formats", [(), ("concat", "hls", "sdp")])
    def test_it_is_refused_even_if_its_format_was_not(
        self, data: bytes, formats: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frames, "FORMATS", (*frames.FORMATS, *formats))

        with pytest.raises(InvalidInput):
            list(video_frames(data))


MEMORY = """
import resource, sys
from service.tasks.video import video_frames

with open(sys.argv[1], "rb") as file:
    data = file.read()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 4 * 1024 * 1024,) * 2)
try:
    list(video_frames(data))
except MemoryError:
    print("no memory")
"""


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_lack_of_memory_is_no_fault_of_the_video(codec: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip("mp4", codec, size=(2560, 1440), frames=2))

    ended = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "clip.mp4"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert (ended.stdout, ended.stderr) == ("no memory\n", "")


class TestThumbnails:
    """The pipeline."""

    @staticmethod
    def thumbnails(data: bytes, **arguments: Any) -> Iterator[Frame]:
        """What the stages make of a video; its pixels travel outside of the pickles, as between processes."""
        for raw in decode_frames(data, **arguments):
            beside: list[pickle.PickleBuffer] = []
            pickled = pickle.dumps(raw, 5, buffer_callback=beside.append)
            assert len(pickled) < 2000
            yield encode_frame(pickle.loads(pickled, buffers=[bytes(buffer.raw()) for buffer in beside]))

    @pytest.mark.parametrize(("kind", "codec"), KINDS)
    # Lines of the second are longer in memory than in the picture.
    @pytest.mark.parametrize("size", [(64, 48), (62, 46)])
    def test_frames_are_those_of_the_task(self, kind: str, codec: str, size: tuple[int, int]) -> None:
        data = clip(kind, codec, size=size)

        assert list(self.thumbnails(data, every=0.2)) == list(video_frames(data, every=0.2))

    @pytest.mark.parametrize(("kind", "codec"), KINDS)
    def test_frames_are_shrunk_as_those_of_the_task(self, kind: str, codec: str) -> None:
        data = clip(kind, codec, size=(256, 192))
        pairs = zip(self.thumbnails(data, width=100), video_frames(data, width=100), strict=True)

        for found, expected in pairs:
            assert (found.time, found.width, found.height) == (expected.time, 100, expected.height)
            # A frame that is put together again has its colours half a pixel to the side.
            difference = ImageChops.difference(decoded(found), decoded(expected))
            assert max(ImageStat.Stat(difference).mean) < 2

    @pytest.mark.parametrize("turn", [90, -90, 180])
    def test_frames_are_upright(self, turn: int) -> None:
        data = clip(prepare=lambda stream: stream.set_display_rotation(turn))

        assert list(self.thumbnails(data)) == list(video_frames(data))

    def test_pixels_that_are_not_square_become_square(self) -> None:
        def prepare(stream: av.VideoStream) -> None:
            stream.codec_context.sample_aspect_ratio = Fraction(1, 2)

        data = clip(prepare=prepare)

        assert {(frame.width, frame.height) for frame in self.thumbnails(data)} == {(32, 48)}

    def test_a_video_may_change_its_size(self) -> None:
        assert list(self.thumbnails(growing(), every=0)) == list(video_frames(growing(), every=0))

    def test_no_more_than_the_limit_are_taken(self) -> None:
        assert times(list(self.thumbnails(clip(), every=0, limit=3))) == [0, 0.04, 0.08]

    def test_what_is_no_video_is_the_clients_fault(self) -> None:
        with pytest.raises(InvalidInput, match="none of MP4, MOV"):
            next(decode_frames(b"no video"))

    def test_a_frame_that_cannot_be_shown_is_the_clients_fault(self) -> None:
        (raw,) = decode_frames(clip(frames=1))

        with pytest.raises(InvalidInput, match=r"the frame at 0.000 s can't be shown"):
            encode_frame(dataclasses.replace(raw, format="gray32le", planes=raw.planes[:1]))

    def test_the_pipeline_is_made_of_them(self) -> None:
        data = clip()

        assert run_pipeline(video_thumbnails, video=data, every=0.5) == list(video_frames(data, every=0.5))


def test_without_pyav_the_task_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "service.tasks.video" in registry.built_in()

    monkeypatch.setattr(registry, "EXTRAS", {"everycore_nowhere": "service.tasks.video"})

    assert registry.built_in() == registry.BUILT_IN
