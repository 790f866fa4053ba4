"""The tasks that ``bench_engine`` measures with; every peer runs the same functions.

Each takes one argument called ``value``, so that all of them can be called in the same way.
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

from service.tasks import task


@task(name="bench.noop")
def noop(value: int) -> int:
    """Return what was given, for the answer to be checked."""
    return value


@task(name="bench.double")
def double(value: Any) -> Any:
    """Return twice the float64 array, in new memory."""
    return value * 2.0


@task(name="bench.echo")
def echo(value: bytes) -> bytes:
    """Return the bytes."""
    return value


@task(name="bench.hold")
def hold(value: float) -> int:
    """Keep a process busy for ``value`` seconds, and return its pid."""
    time.sleep(value)
    return os.getpid()


@task(name="bench.spin")
def spin(value: float) -> None:
    """Compute in Python for ``value`` seconds."""
    until = time.monotonic() + value
    while time.monotonic() < until:
        pass


@task(name="bench.power")
def power(value: int) -> int:
    """Return the number of bits of 7 ** ``value``, from one C call that never lets go of the GIL."""
    bits: int = pow(7, value).bit_length()
    return bits


def serve(connection: Connection[Any, Any]) -> None:
    """Answer on a raw pipe until it ends."""
    functions = {function.__name__: function for function in (noop, double, echo, hold, spin, power)}
    while True:
        try:
            name, value = connection.recv()
        except EOFError:
            return
        connection.send(functions[name](value))
