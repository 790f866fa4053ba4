"""Tasks whose every start and end is found in a file, so that a job that runs twice at a time is too.

Each line is ``number attempt what pid ppid``: all pool processes of one runner have the same parent. While a
job runs, its process holds a lock on the byte ``number`` of the file, which the kernel takes back when the
process dies, however it dies. Who finds the byte locked runs at the same time as another attempt of the same
job, and says so.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.tasks import FinishedJob, attempt, log, task

START, END, TWICE = "start", "end", "twice"


@contextmanager
def traced(path: str, number: int) -> Iterator[None]:
    """Leave a line at the start of the block and one at its end."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        _write(fd, number, START)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            _write(fd, number, TWICE)
        yield
        _write(fd, number, END)
    finally:
        os.close(fd)


def _write(fd: int, number: int, what: str) -> None:
    os.write(fd, f"{number} {attempt()} {what} {os.getpid()} {os.getppid()}\n".encode())


@task(crash_retries=1000)
def compute(path: str, number: int, seconds: float = 0.0) -> int:
    with traced(path, number):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    return number


@task(cpu=0, crash_retries=1000, on_success="count_success")
def pause(path: str, number: int, seconds: float) -> int:
    log("attempt", attempt())
    with traced(path, number):
        time.sleep(seconds)
    return number


@task(cpu=0, crash_retries=1000, on_success="count_success")
def wait_for_file(path: str, number: int) -> int:
    """Wait for a file with ``.go`` at the end of its name, or one that is for this attempt only."""
    files = [Path(f"{path}.go"), Path(f"{path}.go-{attempt()}")]
    with traced(path, number):
        while not any(file.exists() for file in files):
            time.sleep(0.005)
    return number


@task(cpu=0)
def count_success(job: FinishedJob) -> str:
    return job.id


@task(cpu=0, crash_retries=1)
def kill_itself(path: str, number: int) -> None:
    with traced(path, number):
        os.kill(os.getpid(), signal.SIGKILL)


def _fail(**_: object) -> str:
    raise LookupError("no idea")


@task(media_type=_fail)
def return_bytes_of_no_type(path: str, number: int) -> bytes:
    return b""
