"""The owner's side of the fork server: starts it when first needed, and again should it die."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import service
from service.engine import forkserver, lifeline
from service.errors import ConfigurationError, EngineUnavailable

#: One thread a process for the numeric libraries: the pool has one process a core already.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: The package need not be installed; the full path of modules follows with the set-up.
_ROOT = str(Path(service.__file__).parent.parent)
_FORK_SERVER = (
    "import sys; sys.path.insert(0, sys.argv[1]); from service.engine.forkserver import main; main()"
)


class SpawnFailed(EngineUnavailable):
    """The fork server gave no process; it will be started anew."""


class Spawner:
    """Hands out pool processes; safe to call from any thread."""

    def __init__(self, modules: Sequence[str], memory_limit: int | None) -> None:
        """Serve processes that know the tasks of ``modules``; starts nothing yet."""
        self._setup = {"modules": list(modules), "memory_limit": memory_limit}
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._closed = False
        # Whoever dies with this end open takes every pool process along.
        self._lifeline_r, self._lifeline_w = lifeline.pipe()

    def spawn(self, fds: Sequence[int], until: float) -> tuple[int, int]:
        """Return pid and pidfd of a new process that got ``fds``.

        Raises ``TimeoutError`` when there is none by the ``time.monotonic()`` time ``until``,
        ``ConfigurationError`` when the task modules can't be imported, ``SpawnFailed`` otherwise.
        """
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise TimeoutError
        try:
            control = self._ensure_ready(until)
            socket.send_fds(control, [b"spawn"], list(fds))
            answer, pidfds, _, _ = socket.recv_fds(control, forkserver.PID.size, 1, socket.MSG_CMSG_CLOEXEC)
            if not answer:
                raise ConnectionResetError
            return int(forkserver.PID.unpack(answer)[0]), pidfds[0]
        except (ConnectionError, ValueError) as error:
            self._stop()
            msg = "the fork server died"
            raise SpawnFailed(msg) from error
        finally:
            self._lock.release()

    def _ensure_ready(self, until: float) -> socket.socket:
        if self._closed:
            msg = "the pool is closed"
            raise SpawnFailed(msg)
        if self._control is None or self._server is None or self._server.poll() is not None:
            self._stop()
            self._start()
        assert self._control is not None
        if not self._ready:
            self._await_ready(self._control, until)
        return self._control

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict.fromkeys(_ONE_THREAD, "1") | dict(os.environ)
        with theirs:
            fds = (theirs.fileno(), self._lifeline_r)
            self._server = subprocess.Popen(
                [sys.executable, "-c", _FORK_SERVER, _ROOT, *map(str, fds)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C in a terminal is for the service to handle, not for each of its processes.
                start_new_session=True,
            )
        self._control.send(json.dumps(self._setup | {"path": sys.path}).encode())

    def _await_ready(self, control: socket.socket, until: float) -> None:
        """Wait for the task modules to be imported; who comes later goes on waiting."""
        poll = select.poll()
        poll.register(control, select.POLLIN)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        answer = control.recv(forkserver.MAX_MESSAGE)
        if not answer:
            raise ConnectionResetError
        if "error" in (facts := json.loads(answer)):
            self._stop()
            raise ConfigurationError(facts["error"])
        self._ready = True

    def _stop(self) -> None:
        self._ready = False
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            try:
                self._server.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    def close(self) -> None:
        """Stop the fork server; every process still there dies with it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._stop()
            os.close(self._lifeline_w)
            os.close(self._lifeline_r)
