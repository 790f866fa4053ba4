"""Tasks that can be met at work, and tasks that end in every way there is."""

import ctypes
import hashlib
import os
import signal
import time
from pathlib import Path

from service.tasks import task

_libc = ctypes.PyDLL(None)


def _show(mark: str) -> None:
    """Leave this process's pid in a file: whole or not at all."""
    unfinished = Path(f"{mark}.{os.getpid()}")
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(mark)


@task()
def whoami() -> int:
    return os.getpid()


@task()
def spin(mark: str, seconds: float) -> str:
    """Compute in Python."""
    _show(mark)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


@task()
def hold_the_gil(mark: str, seconds: float) -> str:
    """Stay in one C call that never lets go of the GIL."""
    _show(mark)
    _libc.usleep(int(seconds * 1_000_000))
    return "done"


@task()
def turn_round(text: str) -> str:
    return text[::-1]


@task()
def fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@task(media_type="text/plain")
def repeat(word: str, times: int) -> bytes:
    return (word * times).encode()


@task()
def leave(code: int) -> None:
    os._exit(code)


@task()
def die(signum: int) -> None:
    os.kill(os.getpid(), signum)
    signal.pause()


@task(timeout=0.05)
def hang() -> None:
    signal.pause()


@task()
def complain(about: str) -> None:
    raise ValueError(about)
