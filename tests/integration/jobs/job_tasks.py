"""Tasks for tests of the runner; what they did is in files, since another process did it."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from service.tasks import FinishedJob, InvalidInput, attempt, log, progress, task


class Busy(Exception):
    """An error that goes away."""


@task
def twofold(n: int) -> int:
    """Twice n."""
    return 2 * n


@task
def talk(lines: int) -> str:
    """Say what there is to say in every way."""
    for number in range(lines):
        print(f"line {number}")
    log("from log", attempt())
    progress(lines, lines, "all said")
    return "done"


@task(retries=3, retry_on=Busy, retry_delay=0.05)
def succeed_at(file: str, number: int) -> int:
    """Fail until the attempt of that number."""
    with Path(file).open("a") as out:
        out.write(f"{attempt()}\n")
    if attempt() < number:
        raise Busy(f"attempt {attempt()}")
    return attempt()


@task(retries=3, retry_on=Busy, retry_delay=0.05)
def fail_otherwise(file: str) -> None:
    """Raise what is not worth a retry."""
    with Path(file).open("a") as out:
        out.write(f"{attempt()}\n")
    raise LookupError("not worth it")


@task(retries=3, retry_delay=0.05)
def refuse(file: str) -> None:
    """Blame the input."""
    with Path(file).open("a") as out:
        out.write(f"{attempt()}\n")
    raise InvalidInput("that is no input")


@task(crash_retries=1)
def crash(file: str) -> None:
    """Die each time."""
    with Path(file).open("a") as out:
        out.write(f"{attempt()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def hold(file: str, seconds: float = 60) -> None:
    """Say who runs it, then compute for a while."""
    with Path(file).open("a") as out:
        out.write(f"{os.getpid()}\n")
    print("holding")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@task(cpu=0)
def doze(file: str, seconds: float = 60) -> None:
    """Say who runs it, then wait."""
    with Path(file).open("a") as out:
        out.write(f"{os.getpid()}\n")
    time.sleep(seconds)


@task
def image(size: int) -> bytes:
    """Return bytes."""
    return b"\x89" * size


@task
def not_json() -> float:
    """Return what JSON has no word for."""
    return float("nan")


@task
def swallow(data: bytes, name: str) -> str:
    """Take an upload."""
    return f"{name}: {len(data)}"


@task(on_success="note_end", on_failure="note_end")
def followed(*, fail: bool, file: str) -> str:
    """Be followed by another job."""
    if fail:
        raise LookupError("as you wish")
    return file


@task
def note_end(job: FinishedJob) -> dict[str, object]:
    """Return what it was told."""
    return {"id": job.id, "state": job.state, "result": job.result, "error": job.error}


class Odd:
    """Looks like an array, and breaks when it is read."""

    def tolist(self) -> object:
        """Break."""
        raise RuntimeError("no list")


@task
def odd_result() -> Odd:
    """Return what breaks when it is encoded."""
    return Odd()


@task
def odd_progress() -> str:
    """Say how far it is in numbers that JSON does not have."""
    progress(np.int64(3), float("nan"), "a\0b\udcff")  # type: ignore[arg-type] # as is this
    progress(np.int64(4), Odd(), "half")  # type: ignore[arg-type] # that is the point
    return "done"


@task(on_success="note_end")
def odd_text() -> str:
    """Return half of a character, as names of files may hold."""
    return "\udcff"


@task(every=1)
def tick() -> None:
    """Be due every second."""
