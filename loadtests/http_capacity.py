"""What the cores can do at best: the same work in plain processes, one for each, with nothing between.

per_second --rounds, seconds--> python: burn, burn, burn … (one for each core) --> calls a second
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from loadtests import http_work
from loadtests.http_servers import ROOT, own_environment
from service.cpus import available_cpus

#: Seconds of CPU that one call shall take, if nothing else is said.
CALL = 0.1
#: Rounds to find out how long one takes.
_TRIAL = 100_000
_CODE = "from loadtests.http_capacity import main; main()"
_PATIENCE = 30.0

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Work:
    """A call that takes a certain time on this machine while all of its cores are busy."""

    rounds: int
    #: What ``burn`` returns for them.
    result: int


def call_option(default: float) -> Callable[[Command], Command]:
    """Return the option that says how long a call is to be."""
    return click.option(
        "--call",
        type=click.FloatRange(0.005, 0.5),
        default=default,
        show_default=True,
        help="CPU seconds of a call.",
    )


def calibrate(seconds: float, call: float = CALL) -> Work:
    """Find out how many rounds make a call of ``call`` seconds."""
    trials = per_second(_TRIAL, seconds) / available_cpus()
    rounds = 4 * round(_TRIAL * trials * call / 4)  # can be cut into the parts of the samples' pool
    return Work(rounds, http_work.burn(rounds))


def cores_worth(seconds: float = 1.0) -> float:
    """Return how many times as much all cores do as one process alone.

    A virtual machine whose host is busy may have far less than its number of cores, and not see it itself.
    """
    return per_second(_TRIAL, seconds) / per_second(_TRIAL, seconds, 1)


def per_second(rounds: int, seconds: float, together: int | None = None) -> float:
    """Return the calls a second that so many processes make together; one for each core, if not told."""
    with contextlib.ExitStack() as stack:
        processes = [_start(stack, rounds, seconds) for _ in range(together or available_cpus())]
        for process in processes:
            _read_line(process)  # it has imported what it needs
        for process in processes:
            _write_line(process)
        return sum(float(process.communicate(timeout=seconds + _PATIENCE)[0]) for process in processes)


def _start(stack: contextlib.ExitStack, rounds: int, seconds: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, str(rounds), str(seconds)],
        cwd=ROOT,
        env=own_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _read_line(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError("a process that was to measure the capacity ended")


def _write_line(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def main() -> None:
    """Burn when told to, for as long as the command line says; print the calls a second."""
    rounds, seconds = int(sys.argv[1]), float(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    calls = 0
    while (took := time.perf_counter() - begun) < seconds:
        http_work.burn(rounds)
        calls += 1
    print(calls / took)
