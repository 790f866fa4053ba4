"""Pictures and arrays that are not what they say."""

import io
import struct
import zlib

from PIL import Image


def good_png(side: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(out, "PNG")
    return out.getvalue()


def png(width: int, height: int, pixels: bytes = b"\0" * 10, *extra: bytes) -> bytes:
    """Make a PNG of any size that holds any bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = _chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(extra) + data + _chunk(b"IEND", b"")


def text_bomb(size: int) -> bytes:
    """Make a chunk of compressed text."""
    return _chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"a" * size))


def gif(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    """Make a GIF whose frame may be larger than its screen."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0) + b"\2\2D\1\0;"


def bmp(width: int, height: int) -> bytes:
    """Make a BMP of that size without its pixels."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def npy(descr: str, shape: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """Make a .npy file of any header; parts of it are Python."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
