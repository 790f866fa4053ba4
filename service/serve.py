"""``python -m service serve``: the parent of everything that makes up the service on one machine.

    serve ──starts──> python -m gunicorn (master ──> workers ──> pool processes)
      │   ──starts──> python -m service runner (──> pool processes), again when it dies
      └── passes signals on, and ends with Gunicorn's status

It does little, so that little can go wrong in it; when it is killed all the same, its lifeline ends the rest.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from service import children
from service import settings as configuration
from service.children import PASSED_ON, QUICK
from service.engine import lifeline
from service.errors import ConfigurationError
from service.runners import Runners
from service.settings import Settings
from service.telemetry import logs
from service.telemetry.metrics.directory import Folder

CONFIGURATION = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"

#: Seconds that a quick stop may take before it is enforced.
QUICK_STOP = 3.0
#: Seconds that Gunicorn gets beyond its own graceful timeout, which ends in SIGKILL for its workers.
MARGIN = 5.0

SERVER = ("gunicorn", "-c", str(CONFIGURATION), "service.app:create_app()")


class Supervisor:
    """Starts Gunicorn and runners, passes signals on to them, and sees to it that a stop ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # One for all that is started here, for as long as this process lives.
        self._metrics = Folder(settings.runtime_dir)
        self._log = logs.get_logger(pid=os.getpid())
        self._signals, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._kill_at: float | None = None
        #: What looks whether a reload will do, and when it has taken too long.
        self._check: subprocess.Popen[bytes] | None = None
        self._check_until = 0.0
        #: Signals by which Gunicorn was told to stop.
        self._told: set[int] = set()
        # A terminal that is closed says SIGHUP too, and means "stop"; a service manager means "reload".
        self._on_terminal = sys.stdin is not None and sys.stdin.isatty()

    def run(self) -> int:
        """Serve until stopped; return the exit status, 128 + the signal's number for a death by signal."""
        self._metrics.share()
        try:
            return self._serve()
        finally:
            self._end_check()
            self._metrics.remove()

    def _serve(self) -> int:
        # A signal that comes to another thread, and NumPy may have started some, wakes no wait but this one.
        signal.set_wakeup_fd(self._wakeup)
        # SIGUSR2 would start a second Gunicorn beside the one we know of, and end us by default.
        for signum in (*PASSED_ON, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(signum, lambda *_: None)  # a handler, however empty, makes the wake-up byte
        self._read_end, self._lifeline = lifeline.pipe()
        server = children.start(SERVER, self._read_end)
        runners = Runners(self._settings.runners, self._read_end)
        while (status := server.poll()) is None or runners.alive:
            if status is not None and not runners.stopping:
                # Without Gunicorn there is no service to be part of.
                self._end_check()
                runners.stop(signal.SIGTERM)
                self._kill_at = time.monotonic() + self._settings.job_grace + MARGIN
            self._mind_check(server, runners)
            wake_at = runners.look_after()
            self._handle(self._next_signal(wake_at), server, runners)
        if -status in self._told:
            return 0  # it had stopped already, but for the end of Python, which handles no signals any more
        return status if status >= 0 else 128 - status

    def _next_signal(self, wake_at: float | None) -> signal.Signals | None:
        """Wait for a signal, SIGCHLD included; return ``None`` when it is time to do something unasked."""
        check_until = None if self._check is None else self._check_until
        times = [at for at in (self._kill_at, wake_at, check_until) if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready, _, _ = select.select([self._signals], [], [], timeout)
        return signal.Signals(os.read(self._signals, 1)[0]) if ready else None

    def _handle(
        self, signum: signal.Signals | None, server: subprocess.Popen[bytes], runners: Runners
    ) -> None:
        if signum == signal.SIGHUP and self._on_terminal:
            signum = signal.SIGTERM
        if self._is_time_to_kill() or (signum in QUICK and self._told.intersection(QUICK)):
            self._log.warning("stop enforced")
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
            runners.kill()
            self._kill_at = None
        elif signum in QUICK or signum == signal.SIGTERM:
            self._stop(signum, server, runners)
        elif signum == signal.SIGHUP:
            self._begin_check()
        elif signum in PASSED_ON:
            server.send_signal(signum)

    def _is_time_to_kill(self) -> bool:
        return self._kill_at is not None and time.monotonic() >= self._kill_at

    # A reload. A fresh process looks first: Gunicorn would end at a mistake, and the service with it.

    def _begin_check(self) -> None:
        # One that is under way may have read what has changed since.
        self._end_check()
        try:
            self._check = children.start(("service", "check"), self._read_end, subprocess.DEVNULL)
        except OSError as error:  # there may be no more processes now
            self._log.error("reload refused", error=str(error))
        self._check_until = time.monotonic() + self._settings.graceful_timeout

    def _mind_check(self, server: subprocess.Popen[bytes], runners: Runners) -> None:
        if self._check is None:
            return
        if (status := self._check.poll()) == 0:
            self._check = None
            try:
                self._settings = configuration.load()
            except ConfigurationError as error:  # it has changed since
                self._log.error("reload refused", error=str(error))
                return
            server.send_signal(signal.SIGHUP)
            runners.renew(self._settings.runners)
        elif status is not None:
            self._check = None
            self._log.error("reload refused", error="the check of the configuration failed")
        elif time.monotonic() >= self._check_until:
            self._end_check()
            self._log.error("reload refused", error="the check of the configuration took too long")

    def _end_check(self) -> None:
        if self._check is not None:
            self._check.kill()
            self._check.wait()
            self._check = None

    def _stop(self, signum: signal.Signals, server: subprocess.Popen[bytes], runners: Runners) -> None:
        self._end_check()
        self._told.add(signum)
        server.send_signal(signum)
        runners.stop(signal.SIGINT if signum in QUICK else signal.SIGTERM)
        longest = max(self._settings.graceful_timeout, self._settings.job_grace) + MARGIN
        latest = time.monotonic() + (QUICK_STOP if signum in QUICK else longest)
        # A second SIGTERM does not prolong the stop.
        self._kill_at = latest if self._kill_at is None else min(self._kill_at, latest)
