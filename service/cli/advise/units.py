"""Seconds, bytes and counts in few characters."""

from __future__ import annotations

from pydantic import ByteSize


def seconds(value: float) -> str:
    """Word a time: ``3.1 µs``, ``42 ms``, ``1.7 s``."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if value * factor < 999.5:  # noqa: PLR2004 - would be written as 1000
            return f"{value * factor:.3g} {unit}"
    return f"{value:.3g} s" if value < 999.5 else f"{value:.0f} s"  # noqa: PLR2004 - as above


def size(value: float) -> str:
    """Word a number of bytes: ``12B``, ``3.5MiB``."""
    return ByteSize(round(value)).human_readable()


def count(value: float) -> str:
    """Word a number: three digits, and no power of ten."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
