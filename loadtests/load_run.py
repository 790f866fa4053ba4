"""A service to ask and Locust to ask it, for ``loadtest`` and ``soak``.

served() --url--> locust() --> NAME_stats_history.csv, NAME-slo.txt, NAME.html, its exit status
                                 └> history()          └> objectives()
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from loadtests import load_history
from loadtests.http_drive import run_locust
from loadtests.http_servers import ROOT, Server, free_port, own_environment
from loadtests.jobs_programs import started

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
#: Where everything is written that is not published; git ignores it.
OUTPUT = Path(os.environ.get("LOADTEST_OUTPUT") or ROOT / "var" / "loadtest")
#: Seconds that Locust may take beyond its load, and for users to come to an end.
MARGIN, STOP = 60.0, 5
#: How the names of the files end that a run writes: its course, its objectives, its page.
HISTORY, OBJECTIVES, HTML = "_stats_history.csv", "-slo.txt", ".html"


class LoadTestFailed(click.ClickException):
    """A load test could not be done, or has nothing to tell."""


@contextlib.contextmanager
def served(**settings: str) -> Iterator[Server]:
    """Run the service on a free port, in a folder of its own, while the block runs.

    It has the defaults of the settings but for those told here.
    """
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
        yield server


def locust(url: str, name: str, seconds: float, *options: str, folder: Path = OUTPUT) -> int:
    """Run Locust without its web page; write tables, page and verdicts to ``folder``; return its status."""
    folder.mkdir(parents=True, exist_ok=True)
    # A run that fails before it writes them must not be told by those of the run before.
    for end in (HISTORY, OBJECTIVES, HTML):
        (folder / f"{name}{end}").unlink(missing_ok=True)
    told = (
        *("--host", url, "--csv", str(folder / name), "--csv-full-history", "-s", str(STOP)),
        *("--html", str(folder / f"{name}{HTML}"), "--slo-report", str(folder / f"{name}{OBJECTIVES}")),
    )
    log, limit = folder / f"{name}.log", seconds + MARGIN
    try:
        return run_locust(
            LOCUSTFILE, (*told, *options), log=log, limit=limit, cwd=ROOT, environment=own_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise LoadTestFailed(f"Locust did not come to an end; {log} says why") from error


def history(name: str, folder: Path = OUTPUT) -> list[load_history.Moment]:
    """Return the course of a run; raise ``LoadTestFailed`` where there is none."""
    try:
        return load_history.read(folder / f"{name}{HISTORY}")
    except (OSError, load_history.BadHistory) as error:
        said = _said(name, folder)
        raise LoadTestFailed(f"no history of {name}: {error}; Locust says:\n{said}") from error


def objectives(name: str, folder: Path = OUTPUT) -> str:
    """Return the objectives of a run beside what was measured; raise ``LoadTestFailed`` where it has none."""
    try:
        return (folder / f"{name}{OBJECTIVES}").read_text()
    except FileNotFoundError as error:
        raise LoadTestFailed(f"Locust did not judge; it says:\n{_said(name, folder)}") from error


def _said(name: str, folder: Path) -> str:
    return (folder / f"{name}.log").read_text(errors="replace")[-2000:]


def capacity(url: str, users: int, seconds: float, scenarios: Sequence[str]) -> float:
    """Return the right answers a second to users that ask without a pause, after the first third."""
    options = ("-u", str(users), "-r", str(users), "-t", f"{round(seconds)}s", "--slo", "none")
    locust(url, "capacity", seconds, *options, *_chosen(scenarios))
    course = history("capacity")
    settled = course[len(course) // 3 :]
    rate = load_history.rate(settled)
    if not rate.good:
        raise LoadTestFailed(f"no right answer within {seconds:g} s; see {OUTPUT / 'capacity.log'}")
    return rate.good


def shaped(
    url: str,
    shape: str,
    seconds: float,
    *,
    users_per_core: float,
    cores: int,
    pace: float,
    scenarios: Sequence[str] = (),
) -> int:
    """Offer what a shape says, each user ``pace`` tasks a second; return Locust's exit status."""
    return locust(
        url,
        shape,
        seconds,
        *("--shape", shape, "--shape-seconds", str(seconds), "--pace", f"{pace:g}"),
        *("--users-per-core", str(users_per_core), "--cores", str(cores)),
        *_chosen(scenarios),
    )


def _chosen(scenarios: Sequence[str]) -> list[str]:
    return [part for scenario in scenarios for part in ("--scenario", scenario)]
