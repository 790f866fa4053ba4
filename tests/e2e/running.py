"""A real service with everything below it, on a free port, in a folder of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
MARK = "EVERYCORE_TEST_RUN"
#: Gunicorn without ``serve``.
GUNICORN = ("gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "service.app:create_app()")


class Service:
    """One running service, its processes and its log."""

    def __init__(
        self,
        folder: Path,
        port: int,
        command: tuple[str, ...],
        stdin: int = subprocess.DEVNULL,
        **variables: str,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        # Every process below inherits it, whoever its parent becomes: that is how they are found.
        self._mark = uuid.uuid4().hex
        # The settings of the person who runs the tests are not the tests'.
        ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("SERVICE_")}
        environment = {
            **ours,
            MARK: self._mark,
            "PYTHONPATH": f"{ROOT}:{folder}",
            "SERVICE_BIND": f"127.0.0.1:{port}",
            **variables,
        }
        with self.log.open("wb") as log:
            self.parent = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=environment,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Return when it answers; fail with its log when it does not."""

        def answers() -> bool:
            assert self.parent.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/healthz").status_code == 200
            return False

        wait_until(answers, 30, self.log.read_text)

    def processes(self) -> list[psutil.Process]:
        """Return every process of this service that lives."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    @property
    def master(self) -> psutil.Process:
        """Gunicorn's master process, which may have been started without ``serve``."""
        parent = psutil.Process(self.parent.pid)
        return next(found for found in (parent, *parent.children()) if _command(found)[2:3] == ["gunicorn"])

    def runners(self) -> list[psutil.Process]:
        """Return the processes that run jobs, the oldest first."""
        found = [process for process in self.processes() if _command(process)[-2:] == ["service", "runner"]]
        pids = {process.pid for process in found}
        # What a runner is just starting still has the command of the runner.
        found = [process for process in found if _parent(process) not in pids]
        return sorted(found, key=lambda process: process.create_time())

    def workers(self) -> list[psutil.Process]:
        """Return Gunicorn's worker processes."""
        return self.master.children()

    def pool_processes(self) -> list[psutil.Process]:
        """Return the pool processes of all workers and runners."""
        return [process for process in self.processes() if _name(process) == "everycore-pool"]

    def listeners(self) -> set[psutil.Process]:
        """Return the processes that hold the listening socket open."""
        return {process for process in self.processes() if self.port in _ports(process)}

    def port_is_free(self) -> bool:
        """Tell whether another service could start on the same port now."""
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", self.port))
                return True
        return False

    def assert_gone(self, within: float) -> None:
        """Wait for every process to be gone and the port to be free; fail after ``within`` seconds."""
        # The kernel takes a dying process's environment, by which it is found, before its sockets.
        gone = lambda: not self.processes() and self.port_is_free()  # noqa: E731
        wait_until(gone, within, lambda: f"left: {self.processes()}, {self.log.read_text()}")

    def clean_up(self) -> None:
        """Stop it, and end what is left, so that nothing of a failed test outlives it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.parent.send_signal(signal.SIGINT)
            self.parent.wait(timeout=5)
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            self.parent.wait()


@contextlib.contextmanager
def running(folder: Path, **variables: str) -> Iterator[Service]:
    """Start a service, ready to answer, for as long as the block runs."""
    service = Service(folder, free_port(), ("service", "serve"), subprocess.DEVNULL, **variables)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.clean_up()


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(
    true: Callable[[], bool], within: float, explain: Callable[[], str], pause: float = 0.01
) -> None:
    """Look again and again until something is true; fail after ``within`` seconds."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, explain()
        time.sleep(pause)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _parent(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return 0


def _ports(process: psutil.Process) -> set[int]:
    with contextlib.suppress(psutil.Error):
        connections = process.net_connections("tcp")
        return {found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN}
    return set()
