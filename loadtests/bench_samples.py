"""The first sample beside its four calls in one process: ``python loadtests/bench_samples.py``.

The service and this process take turns, so that both meet the same noise of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
# Run as a script, it finds the service beside its own folder.
sys.path.insert(0, str(ROOT))

from service.api.samples import DEFAULT_N  # noqa: E402
from service.cpus import available_cpus  # noqa: E402
from service.tasks.arithmetic import sum_of_squares  # noqa: E402

#: How many times as fast as one process the sample has to be on two cores.
GOAL = 1.8
START_LIMIT = 30.0
STOP_LIMIT = 10.0


@click.command()
@click.option("--repeat", type=click.IntRange(1, 100), default=5, show_default=True, help="Turns of each.")
def main(*, repeat: int) -> None:
    """Time the first sample, and its four calls in this one process; print medians and their ratio.

    The status is 0 whether or not the goal was reached, for a busy machine misses it.
    """
    served, alone = [], []
    with serving() as port:
        sample(port)  # the first one also starts the pool
        for turn in range(1, repeat + 1):
            served.append(sample(port))
            alone.append(one_process())
            click.echo(f"turn {turn} of {repeat}: {served[-1]:.3f} s, {alone[-1]:.3f} s", err=True)
    click.echo(report(served, alone))


def sample(port: int) -> float:
    """Ask for the sample once; return the seconds until its whole answer was there, and right."""
    begun = time.monotonic()
    answer = get(port, "/concurrent_cpu_tasks/")
    seconds = time.monotonic() - begun
    expected = sorted((n - 1) * n * (2 * n - 1) // 6 for n in DEFAULT_N)
    if sorted(answer["results"]) != expected:
        raise click.ClickException(f"wrong answer: {answer}")
    return seconds


def one_process() -> float:
    """Make the same four calls here, one after the other; return the seconds they took."""
    begun = time.monotonic()
    for n in DEFAULT_N:
        sum_of_squares(n)
    return time.monotonic() - begun


def report(served: list[float], alone: list[float]) -> str:
    """Word the medians, and the ratio beside its goal."""
    ratio = statistics.median(alone) / statistics.median(served)
    verdict = "reached" if ratio >= GOAL else "MISSED"
    cpus = available_cpus()
    return (
        f"{'':28}{'median':>7}{'least':>9}{'most':>9}\n"
        f"{_row('GET /concurrent_cpu_tasks/', served)}\n"
        f"{_row('the calls, one process', alone)}\n"
        f"\n{ratio:.2f} x as fast on {cpus} CPU{'s' * (cpus > 1)}; the goal on two is {GOAL} x: {verdict}"
    )


def _row(name: str, seconds: list[float]) -> str:
    figures = (statistics.median(seconds), min(seconds), max(seconds))
    return f"{name:28}" + "  ".join(f"{figure:5.3f} s" for figure in figures)


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the service on a free port, in a folder of its own, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = int(finder.getsockname()[1])
        finder.close()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "SERVICE_BIND": f"127.0.0.1:{port}",
            "SERVICE_RUNTIME_DIR": folder,
            "SERVICE_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "service", "serve"]
        with subprocess.Popen(command, cwd=folder, env=environment) as service:
            try:
                _wait_until_ready(service, port)
                yield port
            finally:
                service.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    service.wait(STOP_LIMIT)
                # Its lifeline ends everything below it.
                service.kill()


def _wait_until_ready(service: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_LIMIT
    while service.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            get(port, "/readyz")
            return
        time.sleep(0.02)
    raise click.ClickException("the service did not start")


def get(port: int, path: str) -> Any:
    """Return the JSON document there."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise click.ClickException(f"GET {path} was answered with {answer.status}")
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
