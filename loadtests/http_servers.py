"""The service and its peers under the same Gunicorn, each on a free port and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path

import click
import psutil

ROOT = Path(__file__).resolve().parent.parent

#: The same for all that are compared.
WORKERS, THREADS, KEEP_ALIVE = 2, 16, 5
PEERS = (
    *("--worker-class", "gthread", "--workers", str(WORKERS), "--threads", str(THREADS)),
    *("--keep-alive", str(KEEP_ALIVE), "--worker-tmp-dir", "/dev/shm", "--no-control-socket"),
)

START_LIMIT = 30.0
STOP_LIMIT = 5.0
#: Every process of a server inherits it, whoever its parent becomes: that is how they are found.
MARK = "EVERYCORE_LOADTEST_SERVER"
#: What a person has set for their own service, Gunicorn or Locust is not ours.
_FOREIGN = ("SERVICE_", "GUNICORN_", "LOCUST_", "WEB_CONCURRENCY")


class ServerFailed(click.ClickException):
    """A server did not start, or did not stay."""


class Server:
    """One running Gunicorn and everything below it."""

    def __init__(self, master: subprocess.Popen[bytes], mark: str, port: int, log: Path) -> None:
        """``log`` is the file that it writes to."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._master = master
        self._mark = mark
        self._log = log

    def processes(self) -> list[psutil.Process]:
        """Return every process of this server that lives."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return Gunicorn's workers."""
        return psutil.Process(self._master.pid).children()

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its processes have taken so far, those that ended included."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def wait_until_ready(self, path: str) -> None:
        """Return when it answers there with 200; raise ``ServerFailed`` when it does not."""
        until = time.monotonic() + START_LIMIT
        while self._master.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), contextlib.closing(self.connect(1.0)) as connection:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.02)
        raise ServerFailed(f"no answer from {path}; its log ends with:\n{self.log_tail()}")

    def connect(self, timeout: float) -> HTTPConnection:
        """Return a connection to it."""
        return HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    @property
    def status(self) -> int | None:
        """How it ended; ``None`` while it runs."""
        return self._master.poll()

    def ask_to_end(self) -> None:
        """Have it end in its own way, and wait for that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.terminate()
            self._master.wait(STOP_LIMIT)

    def log_tail(self) -> str:
        """Return the last of what it wrote."""
        return self._log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it at once, and everything that it has started."""
        # SIGTERM would let requests finish that nobody waits for any more.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.send_signal(signal.SIGQUIT)
            self._master.wait(STOP_LIMIT)
        # A pool that was cut off has processes which wait for each other for ever.
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._master.wait()


@contextlib.contextmanager
def service(**settings: str) -> Iterator[Server]:
    """Run the service, with ``settings`` beside what all have in common, while the block runs."""
    ours = {
        "SERVICE_WEB_WORKERS": str(WORKERS),
        "SERVICE_WEB_THREADS": str(THREADS),
        "SERVICE_TASK_MODULES": "loadtests.http_tasks",
    }
    options = ("-c", str(ROOT / "gunicorn.conf.py"))
    with _running("service.app:create_app()", options, ours | settings) as server:
        server.wait_until_ready("/readyz")
        yield server


@contextlib.contextmanager
def peers() -> Iterator[Server]:
    """Run the peers' application while the block runs."""
    with _running("loadtests.http_peers:create_app()", PEERS, {}) as server:
        server.wait_until_ready("/empty")
        yield server


@contextlib.contextmanager
def _running(app: str, options: Sequence[str], settings: dict[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="everycore-loadtest-", ignore_cleanup_errors=True) as name:
        port = free_port()
        address = f"127.0.0.1:{port}"
        command = (sys.executable, "-m", "gunicorn", *options, "--bind", address, app)
        with program(command, Path(name), {"SERVICE_BIND": address} | settings, port) as server:
            yield server


@contextlib.contextmanager
def program(
    command: Sequence[str | Path], folder: Path, variables: Mapping[str, str], port: int
) -> Iterator[Server]:
    """Run a program in a folder, where it has a log; end it and everything below it with the block."""
    mark, log = uuid.uuid4().hex, folder / f"{uuid.uuid4().hex}.log"
    with log.open("wb") as output:
        master = subprocess.Popen(
            command,
            cwd=folder,
            env=own_environment() | {MARK: mark, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it
        )
    server = Server(master, mark, port, log)
    try:
        yield server
    finally:
        server.stop()


def own_environment() -> dict[str, str]:
    """Return the environment for what is started here."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    return kept | {"PYTHONPATH": str(ROOT)}


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        return int(finder.getsockname()[1])
