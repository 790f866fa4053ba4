"""The disk that the stores are on: what "accepted" costs at the least."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from loadtests.jobs_measures import rate_of
from loadtests.report import Json

#: What is written before each fsync: a page of SQLite's.
PAGE = bytes(4096)
#: Kinds of file systems whose fsync does nothing.
VOLATILE = ("tmpfs", "ramfs")


def measure(seconds: float) -> Json:
    """Say what holds temporary files, and how often a second a page can be written with fsync."""
    with tempfile.TemporaryFile() as file:

        def write() -> None:
            os.write(file.fileno(), PAGE)
            os.fsync(file.fileno())

        rate = rate_of(write, seconds)
    return {"kind": kind(Path(tempfile.gettempdir())), "fsyncs": round(rate)}


def kind(folder: Path) -> str:
    """Return the kind of the file system that a folder is on."""
    real = folder.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def said(disk: Json) -> str:
    """Word it in a line."""
    text = f"stores on {disk['kind']}, {disk['fsyncs']} writes with fsync a second"
    return f"{text}: NOTHING IS DURABLE there, set TMPDIR" if disk["kind"] in VOLATILE else text
