"""A disk that is full soon: a small file system in memory, which only its users see."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x20000


class SmallDisk:
    """A folder with so much room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take all room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (64 * 1024, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        assert not os.statvfs(self.folder).f_bfree

    def clear(self) -> None:
        """Give it back."""
        self._filler.unlink()


def on_small_disk(folder: Path, size: str, body: Callable[[SmallDisk], None]) -> None:
    """Run ``body``, in a thread of its own: it and what it starts see the disk at ``folder``, nobody else."""

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS):
            pytest.skip(f"no disk can be mounted here: {os.strerror(ctypes.get_errno())}")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        body(SmallDisk(folder))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()
