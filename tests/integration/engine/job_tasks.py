"""Tasks that print, in good and bad ways."""

import contextvars
import ctypes
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.tasks import attempt, log, progress, task, trace_headers


@task()
def say(lines: list[str], seconds: float = 0.0) -> int:
    for line in lines:
        print(line)
    time.sleep(seconds)
    return os.getpid()


@task()
def say_on_both() -> None:
    print("one")
    print("two", file=sys.stderr)
    log("three", 3, sep="=")
    print("four", end="")


@task()
def tell_trace() -> tuple[dict[str, str], int]:
    return trace_headers(), attempt()


@task()
def yield_traces(n: int) -> Iterator[dict[str, str]]:
    for _ in range(n):
        yield trace_headers()


@task()
def write(pieces: list[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)


@task()
def count_lines(n: int) -> int:
    for number in range(n):
        print(number)
    return n


@task()
def which_attempt() -> int:
    return attempt()


@task()
def say_then(end: str, go: str = "", spoken: str = "") -> None:
    """Print some lines, once the file ``go`` is there if it is named, then end in a bad way."""
    while go and not Path(go).exists():
        time.sleep(0.001)
    for number in range(50):
        print(number)
    print("and a rest", end="")
    if spoken:
        Path(spoken).touch()
    if end == "raise":
        raise LookupError("no more")
    if end == "exit":
        os._exit(3)
    if end == "crash":
        ctypes.string_at(0)
    time.sleep(60)


@task()
def never_stop_printing() -> None:
    while True:
        print("still here")


@task()
def never_stop_reporting() -> None:
    while True:
        progress(1)


@task()
def kind_of_streams() -> list[str]:
    return [type(stream).__module__ for stream in (sys.stdout, sys.stderr)]


@task()
def swap_streams() -> None:
    print("before")
    sys.stdout = sys.stderr = io.StringIO()
    print("nowhere")


@task()
def count_aloud(n: int) -> Iterator[int]:
    for number in range(n):
        print("now", number)
        yield number


@task()
def say_in_threads(names: list[str]) -> None:
    """Print lines in threads that take turns within a line."""
    turns = threading.Barrier(len(names))

    def speak(name: str) -> None:
        for piece in (name, name, "\n"):
            turns.wait()
            sys.stdout.write(piece)

    threads = [threading.Thread(target=speak, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@task()
def leave_threads_behind(folder: str) -> int:
    """Leave threads behind that go on speaking until a file is there; one of them knows the call."""
    out, context = sys.stdout, contextvars.copy_context()

    def speak(name: str) -> None:
        count = 0
        while not Path(folder, "stop").exists():
            print("a print of", name)
            print("to the old stream, from", name, file=out)
            log("a log of", name)
            count += 1
            Path(folder, f"{name}-{count}").touch()
            time.sleep(0.001)

    threading.Thread(target=speak, args=("stranger",)).start()
    threading.Thread(target=context.run, args=(speak, "relative")).start()
    return os.getpid()


@task()
def hear_threads(folder: str) -> int:
    """Print, while threads of an earlier call print some more."""
    for name in ("stranger", "relative"):
        print("before", name)
        spoken = len(list(Path(folder).glob(f"{name}-*")))
        while len(list(Path(folder).glob(f"{name}-*"))) < spoken + 3:
            time.sleep(0.001)
        print("after", name)
    Path(folder, "stop").touch()
    return os.getpid()


class SpecialError(LookupError):
    """To be known by what it is derived from."""


@task()
def raise_special() -> Any:
    raise SpecialError
