"""Small videos for tests."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from PIL import Image

Colour = str | tuple[int, int, int]


def film(size: tuple[int, int] = (64, 48), colours: Iterable[Colour] = ("red",) * 3) -> bytes:
    """Return an MP4 with a frame of each colour, 25 a second; skips the test where PyAV is not installed."""
    av = pytest.importorskip("av")
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for colour in colours:
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", size, colour))))
        container.mux(stream.encode())
    return out.getvalue()
