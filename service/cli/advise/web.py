"""What a request costs by itself: a real Gunicorn, on a socket of its own, for a task that does nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import service
from service.children import LIFELINE_VARIABLE
from service.cli.advise import probes
from service.cli.advise.clock import Clock
from service.cli.advise.figures import Spread, Web
from service.engine import lifeline
from service.environment import PREFIX
from service.errors import EverycoreError
from service.serve import SERVER
from service.settings import Settings
from service.telemetry.metrics.directory import VARIABLE as METRICS_VARIABLE

#: Seconds that are needed at least, seconds it may take to start, and to stop before it is killed.
NEEDED = 2.5
_START, _STOP = 10.0, 0.5
#: Who asks at once.
_CLIENTS = 4
#: Seconds that one request may take.
_PATIENCE = 5.0
_LOG = "log"
_ROOT = Path(service.__file__).resolve().parent.parent


class NotMeasured(EverycoreError):
    """The server could not be had, or did not answer as it should."""


class _Connection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket, for there is no port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


def measure(settings: Settings, clock: Clock) -> Web:
    """Start one worker, and ask it; raises ``NotMeasured``."""
    if clock.left < NEEDED:
        raise NotMeasured(f"no time was left to start a server; allow more than {clock.seconds:g} s")
    clock.step("requests over HTTP")
    with tempfile.TemporaryDirectory(prefix="everycore-advise-") as folder:
        try:
            with _server(settings, Path(folder)) as (master, path):
                _wait_until_ready(master, path, min(clock.end, time.monotonic() + _START))
                return _ask(_worker(master), path, clock)
        except (OSError, HTTPException) as error:
            raise NotMeasured(f"the server did not answer: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _server(settings: Settings, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    path = folder / "socket"
    read_end, write_end = lifeline.pipe()
    ours = {
        "BIND": f"unix:{path}",
        "RUNTIME_DIR": str(folder / "run"),
        "DATABASE_URL": f"sqlite:///{folder}/jobs.db",
        "TASK_MODULES": probes.__name__,
        "WEB_WORKERS": "1",
        "CPU_SLOTS": str(settings.cpu_slots),
        "LOG_FORMAT": "json",
    }
    # Neither what the caller has set nor their .env: the server runs in an empty folder.
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    environment = kept | {PREFIX + name: value for name, value in ours.items()}
    # What ``serve`` would have given it: it ends when this process does, and keeps its metrics there.
    metrics = folder / "metrics"
    metrics.mkdir()
    environment |= {LIFELINE_VARIABLE: str(read_end), METRICS_VARIABLE: str(metrics)}
    environment["PYTHONPATH"] = str(_ROOT)
    try:
        with (folder / _LOG).open("wb") as log:
            master = subprocess.Popen(
                [sys.executable, "-m", *SERVER],
                cwd=folder,
                env=environment,
                pass_fds=[read_end],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield master, path
        finally:
            _stop(master)
    finally:
        os.close(read_end)
        os.close(write_end)


def _stop(master: subprocess.Popen[bytes]) -> None:
    workers = _children(master.pid)
    master.send_signal(signal.SIGQUIT)
    try:
        master.wait(_STOP)
    except subprocess.TimeoutExpired:
        master.kill()
        master.wait()
    # They hang on the master; they are given the moment that takes.
    until = time.monotonic() + _STOP
    while any(_lives(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.005)


def _wait_until_ready(master: subprocess.Popen[bytes], path: Path, until: float) -> None:
    while master.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError, HTTPException), contextlib.closing(_Connection(path)) as connection:
            _request(connection)
            return
        time.sleep(0.02)
    if master.poll() is None:
        raise NotMeasured("the server was not there in time; allow more by --seconds")
    said = (path.parent / _LOG).read_text(errors="replace").strip().rpartition("\n")[2]
    raise NotMeasured(f"the server did not start: {said}")


def _ask(worker: int, path: Path, clock: Clock) -> Web:
    with contextlib.closing(_Connection(path)) as connection:
        alone = []
        for _ in clock.repeat(clock.seconds / 30, 20, 2000):
            begun = time.perf_counter()
            _request(connection)
            alone.append(time.perf_counter() - begun)
    before = _cpu(worker)
    until, stopped = min(clock.end, time.monotonic() + max(0.3, clock.seconds / 15)), threading.Event()
    with ThreadPoolExecutor(_CLIENTS) as threads:
        try:
            asked = sum(threads.map(lambda _: _ask_until(path, until, stopped), range(_CLIENTS)))
        finally:
            stopped.set()  # Ctrl-C: the threads are waited for
    return Web(Spread.of(alone), (_cpu(worker) - before) / asked)


def _ask_until(path: Path, until: float, stopped: threading.Event) -> int:
    with contextlib.closing(_Connection(path)) as connection:
        asked = 0
        while not asked or (time.monotonic() < until and not stopped.is_set()):
            _request(connection)
            asked += 1
    return asked


def _request(connection: HTTPConnection) -> None:
    connection.request("POST", f"/v1/tasks/{probes.NOOP}", b"{}", {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise NotMeasured(f"the server answered {response.status}: {body[:200]!r}")


def _worker(master: subprocess.Popen[bytes]) -> int:
    (worker,) = _children(master.pid)
    return worker


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _lives(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _cpu(pid: int) -> float:
    user, system = _stat(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return what stands behind the name, which may hold anything: the state first."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
