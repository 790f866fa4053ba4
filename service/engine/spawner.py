"""The owner's side of the fork server: starts it when first needed, and again should it die."""

from __future__ import annotations

import json
import math
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
from service.telemetry import logs
from service.telemetry.metrics.directory import VARIABLE

#: Longest wait that a lock or a poll takes, in seconds.
MAX_WAIT = 86_400.0

#: Seconds after which a fork server that does not answer is taken for stuck.
STUCK = 1.0
#: Seconds between two looks whether one that still loads is there to be ended.
LOOK_AGAIN = 0.02

#: One thread a process for the numeric libraries: the pool has one process a core already.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: The package need not be installed; the full path of modules follows with the set-up.
_ROOT = str(Path(service.__file__).parent.parent)
_FORK_SERVER = (
    "import sys; sys.path.insert(0, sys.argv[1]); from service.engine.forkserver import main; main()"
)


class SpawnFailed(EngineUnavailable):
    """There was no new pool process to be had."""


class ForkServerDied(SpawnFailed):
    """It may have forked before: what was sent to it must not be sent to the next one."""


class Spawner:
    """Hands out pool processes; safe to call from any thread."""

    def __init__(self, modules: Sequence[str], memory_limit: int | None, cpu_slots: int) -> None:
        """Serve processes that know the tasks of ``modules``; starts nothing yet."""
        self._setup = {
            "modules": list(modules),
            "memory_limit": memory_limit,
            "cpu_slots": cpu_slots,
            "lines": logs.form(),
        }
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._closed = False
        # Whoever dies with this end open takes every pool process along.
        self._lifeline: tuple[int, ...] = lifeline.pipe()

    def spawn(self, fds: Sequence[int], until: float) -> tuple[int, int]:
        """Return pid and pidfd of a new process that got ``fds``.

        Raises ``TimeoutError`` when there is none by the ``time.monotonic()`` time ``until``,
        ``ConfigurationError`` when the task modules can't be imported, ``SpawnFailed`` otherwise.
        """
        if not self._lock.acquire(timeout=_left(until)):
            raise TimeoutError
        try:
            return self._ask(fds, until)
        except (ConnectionError, ValueError) as error:
            self._stop()
            raise ForkServerDied("the fork server died") from error
        except TimeoutError:
            if self._ready:
                # Its answer would be taken for that to the next request.
                self._kill()
            raise
        finally:
            self._lock.release()

    def warm(self) -> None:
        """Have the fork server import and load everything, however long that takes; raises like ``spawn``."""
        with self._lock:
            try:
                self._ensure_ready(math.inf)
            except (ConnectionError, ValueError) as error:
                self._stop()
                raise ForkServerDied("the fork server died") from error

    @property
    def ready(self) -> bool:
        """Whether everything is imported and loaded."""
        return self._ready

    def _ask(self, fds: Sequence[int], until: float) -> tuple[int, int]:
        control = self._ensure_ready(until)
        socket.send_fds(control, [b"spawn"], list(fds))
        # One that is ready takes milliseconds; a caller in a hurry is no reason to think that it is stuck.
        _await(control, max(until, time.monotonic() + STUCK))
        answer, pidfds, _, _ = socket.recv_fds(control, forkserver.PID.size, 1, socket.MSG_CMSG_CLOEXEC)
        if not answer:
            raise ConnectionResetError
        pid = int(forkserver.PID.unpack(answer)[0])
        if pid < 0:
            raise SpawnFailed(f"no process can be forked: {os.strerror(-pid)}")
        if not pidfds:
            raise SpawnFailed("no process can be had: too many open files")
        return pid, pidfds[0]

    def _ensure_ready(self, until: float) -> socket.socket:
        if self._closed:
            raise SpawnFailed("the pool is closed")
        if self._control is None or self._server is None or self._server.poll() is not None:
            self._stop()
            self._start()
        assert self._control is not None
        if not self._ready:
            self._await_ready(self._control, until)
        return self._control

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict.fromkeys(ONE_THREAD, "1") | dict(os.environ)
        # There are too many of them, and they come and go: what a task counts is nobody's but its own.
        environment.pop(VARIABLE, None)
        with theirs:
            fds = (theirs.fileno(), self._lifeline[0])
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
        _await(control, until)
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

    def _kill(self) -> None:
        if self._server is not None:
            self._server.kill()
        self._stop()

    def close(self) -> None:
        """Stop the fork server; every process still there dies with it."""
        self._closed = True
        # Somebody may be waiting for a fork server that is stuck, or that loads what nobody needs any more.
        while not self._lock.acquire(timeout=STUCK if self._ready else LOOK_AGAIN):
            if (server := self._server) is not None:
                server.kill()
        self._stop()
        self.let_go()
        self._lock.release()

    def let_go(self) -> None:
        """Close our ends without a word, as a fork of the owner must."""
        if self._control is not None:
            self._control.close()
        for fd in self._lifeline:
            os.close(fd)
        self._lifeline = ()


def _await(control: socket.socket, until: float) -> None:
    """Wait for an answer; raises ``TimeoutError``."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    if not poll.poll(_left(until) * 1000):
        raise TimeoutError


def _left(until: float) -> float:
    return min(max(0.0, until - time.monotonic()), MAX_WAIT)
