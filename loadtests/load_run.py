"""A service to ask and Locust to ask it, for ``loadtest`` and ``soak``.

target --url--> locust() --> NAME_stats_history.csv, NAME.html, its exit status
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from loadtests import load_history
from loadtests.http_servers import ROOT, Server, free_port, own_environment
from loadtests.jobs_programs import started

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
#: Where everything is written that is not published; git ignores it.
OUTPUT = Path(os.environ.get("LOADTEST_OUTPUT") or ROOT / "var" / "loadtest")
#: Seconds that Locust may take beyond its load, and for users to come to an end.
MARGIN, STOP = 60.0, 5
#: What of the caller's environment the users need, though it may look like somebody else's setting.
KEPT = ("EVERYCORE_API_KEY",)


class LoadTestFailed(click.ClickException):
    """A load test could not be done, or has nothing to tell."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked."""

    url: str
    #: The service that was started for it, if one was.
    server: Server | None = None


@contextlib.contextmanager
def target(host: str | None, **settings: str) -> Iterator[Target]:
    """Yield the service at ``host``; without one, one that is started on a free port while the block runs.

    It has its own folder, and the defaults of the settings but for those told here.
    """
    if host:
        yield Target(host.rstrip("/"))
        return
    port = free_port()
    variables = {
        "SERVICE_BIND": f"127.0.0.1:{port}",
        "SERVICE_TASK_MODULES": "loadtests.http_tasks",
        **settings,
    }
    command = (sys.executable, "-m", "service", "serve")
    with (
        tempfile.TemporaryDirectory(prefix="everycore-loadtest-", ignore_cleanup_errors=True) as name,
        started(command, Path(name), variables, port) as server,
    ):
        server.wait_until_ready("/readyz")
        yield Target(server.url, server)


def locust(url: str, name: str, seconds: float, *options: str, folder: Path = OUTPUT) -> int:
    """Run Locust without its web page; write tables and page to ``folder``; return its exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--host", url, "--csv", str(folder / name), "--csv-full-history"),
        *("--html", str(folder / f"{name}.html"), "-s", str(STOP), "-L", "WARNING", *options),
    ]
    kept = {variable: os.environ[variable] for variable in KEPT if variable in os.environ}
    with (folder / f"{name}.log").open("wb") as log:
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env=own_environment() | kept,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=seconds + MARGIN,
                check=False,  # its status tells of the objectives
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise LoadTestFailed(f"Locust did not come to an end; {log.name} says why") from error


def history(name: str, folder: Path = OUTPUT) -> list[load_history.Moment]:
    """Return the course of a run; raise ``LoadTestFailed`` where there is none."""
    try:
        return load_history.read(folder / f"{name}_stats_history.csv")
    except (OSError, load_history.BadHistory) as error:
        said = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
        raise LoadTestFailed(f"no history of {name}: {error}; Locust says:\n{said}") from error


def capacity(url: str, users: int, seconds: float, scenarios: tuple[str, ...]) -> float:
    """Return the right answers a second to users that ask without a pause, after the first third."""
    chosen = [part for scenario in scenarios for part in ("--scenario", scenario)]
    options = ("-u", str(users), "-r", str(users), "-t", f"{round(seconds)}s", "--slo", "none")
    locust(url, "capacity", seconds, *options, *chosen)
    course = history("capacity")
    settled = course[len(course) // 3 :]
    rate = load_history.rate(settled)
    if not rate.good:
        raise LoadTestFailed(f"no right answer within {seconds:g} s; see {OUTPUT / 'capacity.log'}")
    return rate.good
