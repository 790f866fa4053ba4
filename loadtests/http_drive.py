"""Locust does the asking, in a process of its own.

    drive --Traffic--> locust -f http_locustfile.py --answers--> Recording

Nothing here imports Locust, which patches the standard library of whoever does.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from loadtests import http_answers
from loadtests.http_answers import Recording, TrafficFailed
from loadtests.http_servers import ROOT, own_environment
from loadtests.http_traffic import Stream, Traffic

LOCUSTFILE = ROOT / "loadtests" / "http_locustfile.py"
#: The folder that Locust finds the traffic in, and leaves the answers in.
VARIABLE = "EVERYCORE_TRAFFIC"
#: Seconds that Locust may take beyond the traffic itself: it imports much.
MARGIN = 30.0
#: Requests at once to warm up with.
WARM_UPS = 8


def warm_up(stream: Stream) -> None:
    """Ask a few times at once, from here, so that every worker has what it makes at its first request."""
    with ThreadPoolExecutor(WARM_UPS) as threads:
        for future in [threads.submit(_ask, stream) for _ in range(2 * WARM_UPS)]:
            future.result()


def _ask(stream: Stream) -> None:
    with closing(HTTPConnection(stream.url.removeprefix("http://"), timeout=stream.patience)) as connection:
        connection.request(stream.method, stream.path, stream.body, stream.headers)
        response = connection.getresponse()
        body = response.read().decode()
    if response.status != 200 or stream.contains not in body:
        raise TrafficFailed(f"{stream.name}: answered with {response.status}, {body[:500]}")


def drive(streams: Sequence[Stream], seconds: float, *, warm: float = 1.0, tail: float = 1.0) -> Recording:
    """Have Locust ask, and return what came back."""
    traffic = Traffic(tuple(streams), seconds, warm, tail)
    with tempfile.TemporaryDirectory(prefix="everycore-locust-") as name:
        folder = Path(name)
        (folder / "traffic.json").write_text(json.dumps(dataclasses.asdict(traffic)))
        _drive(traffic, folder)
        answers = folder / "answers.json"
        if not answers.exists():
            raise TrafficFailed(f"no answers; Locust says:\n{(folder / 'log').read_text()[-3000:]}")
        return http_answers.read(traffic, answers.read_text())


def _drive(traffic: Traffic, folder: Path) -> None:
    users = str(sum(stream.users for stream in traffic.streams))
    try:
        run_locust(
            LOCUSTFILE,
            # It takes whole seconds.
            ("-u", users, "-r", users, "-t", f"{math.ceil(traffic.total)}s"),
            log=folder / "log",
            limit=traffic.total + MARGIN,
            cwd=folder,
            environment=own_environment() | {VARIABLE: str(folder)},
        )
    except subprocess.TimeoutExpired as error:
        raise TrafficFailed("Locust did not come to an end") from error


def run_locust(
    file: Path, options: Sequence[str], *, log: Path, limit: float, cwd: Path, environment: Mapping[str, str]
) -> int:
    """Run Locust without its web page, and return its exit status; what it says goes to ``log``.

    Raise ``subprocess.TimeoutExpired`` when it takes longer than ``limit`` seconds.
    """
    command = (
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(file),
        "--headless",
        "--only-summary",
        "-L",
        "WARNING",
    )
    with log.open("wb") as output:
        return subprocess.run(
            (*command, *options),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,  # its status tells of answers and objectives, which the callers look at
        ).returncode
