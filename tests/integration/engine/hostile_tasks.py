"""Tasks that do what tasks should not do, and a few that behave."""

import contextvars
import ctypes
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from service.tasks import progress, task


@task()
def echo(value: Any) -> Any:
    return value


@task()
def count(n: int, seconds: float = 0.0) -> Iterator[int]:
    for number in range(n):
        spin(seconds)
        yield number


@task()
def arrays(n: int, length: int) -> Iterator[Any]:
    for number in range(n):
        yield np.full(length, number)


@task()
def count_then(n: int, end: str) -> Iterator[Any]:
    """Yield some numbers, then end in a bad way."""
    yield from range(n)
    if end == "raise":
        raise ValueError("no more")
    if end == "crash":
        os._exit(3)
    if end == "hang":
        spin(60)
    if end == "unsendable":
        yield threading.Lock()


@task()
def count_and_tell(path: str) -> Iterator[int]:
    """Yield for ever, and write down how far it has come."""
    for number in itertools.count():
        Path(path).write_text(str(number))
        yield number


@task()
def whoami() -> int:
    return os.getpid()


@task()
def double(array: Any) -> Any:
    return array * 2


@task()
def spin(seconds: float) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpid()


@task(cpu=0)
def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@task()
def spin_and_record(seconds: float, folder: str) -> None:
    """Be seen at work: hold a file for as long as this computes."""
    mark = Path(folder, f"{os.getpid()}-{time.monotonic_ns()}")
    mark.touch()
    spin(seconds)
    mark.unlink()


@task()
def touch_and_wait(path: str, seconds: float) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)


@task()
def append_line(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line + "\n")


@task()
def hold_the_gil(path: str = "") -> int:
    """Compute for minutes in one C call that never lets go of the GIL."""
    if path:
        Path(path).write_text(str(os.getpid()))
    huge: int = (10**7) ** (10**8)
    return huge


@task()
def raise_error() -> NoReturn:
    raise ValueError("no such luck")


@task()
def raise_system_exit() -> NoReturn:
    sys.exit(3)


@task()
def raise_keyboard_interrupt() -> NoReturn:
    raise KeyboardInterrupt


@task()
def raise_unspeakable() -> NoReturn:
    class UnspeakableError(Exception):
        """Can't be pickled, for it is local, nor printed."""

        def __str__(self) -> str:
            raise RuntimeError("not even this")

        def __reduce__(self) -> NoReturn:
            raise RuntimeError("nor this")

    raise UnspeakableError(threading.Lock())


@task()
def recurse() -> Any:
    return recurse()


@task()
def segfault() -> Any:
    return ctypes.string_at(0)


@task()
def exit_hard(code: int) -> NoReturn:
    os._exit(code)


@task()
def kill_myself(signum: int) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(30)


@task()
def close_every_descriptor() -> str:
    os.closerange(3, 256)
    return "closed"


@task()
def return_unpicklable() -> Any:
    return lambda: None


class Grudge:
    """Travels, but can't be unpacked."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise RuntimeError("I stay packed")


@task()
def return_grudge() -> Any:
    return Grudge()


class Bomb:
    """Takes the process that unpacks it along."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> NoReturn:
    os._exit(7)


@task()
def allocate(size: int) -> int:
    return len(bytearray(size))


@task()
def write_to_stdout(text: str) -> str:
    print(text)
    os.write(1, b"straight to the descriptor\n")
    return text


@task()
def report(steps: int) -> str:
    for step in range(steps):
        progress(step + 1, steps, note=f"step {step + 1}")
    return "done"


@task()
def report_too_much() -> None:
    progress(1, 1, note="x" * 1_000_000)


_kept: list[Any] = []


@task()
def keep_argument(array: Any) -> float:
    """Hold on to an argument beyond the call, as a cache would."""
    _kept.append(array)
    return float(array.sum())


@task()
def sum_of_kept() -> float:
    return float(sum(array.sum() for array in _kept))


@task()
def leave_child_behind(path: str) -> NoReturn:
    """Fork, and wait for the end together with the child."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    Path(path).write_text(str(pid))
    time.sleep(60)
    raise AssertionError


@task()
def random_number() -> float:
    return float(np.random.random())  # noqa: NPY002 - the shared generator is what matters here


@task()
def ignore_signals_and_spin() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGIO, signal.SIGALRM):
        signal.signal(signum, signal.SIG_IGN)
    spin(60)


@task()
def ignore(value: Any) -> None:
    """Take anything, return nothing."""


@task()
def choose(what: str) -> Any:
    if what == "grudge":
        return Grudge()
    if what == "hang":
        time.sleep(60)
    return what


class Slowly:
    """Takes its time to be unpacked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return time.sleep, (self.seconds,)


@task()
def exit_and_leave_a_daemon(path: str) -> NoReturn:
    if os.fork() == 0:
        os.setsid()
        Path(path).write_text(str(os.getpid()))
        time.sleep(60)
        os._exit(0)
    while not Path(path).exists():
        time.sleep(0.001)
    os._exit(9)


@task()
def report_later(seconds: float) -> None:
    """Leave a thread behind that reports progress when the call is over."""
    context = contextvars.copy_context()

    def speak() -> None:
        time.sleep(seconds)
        progress(1, 1, note="too late")

    threading.Thread(target=context.run, args=(speak,)).start()


@task()
def mostly_harmless(number: int) -> int:
    """Succeed, but for 5 % each that crash, raise and never end."""
    match number % 20:
        case 3:
            os._exit(1)
        case 9:
            raise ValueError(number)
        case 14:
            time.sleep(60)
    return number * number
