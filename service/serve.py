"""``python -m service serve``: the parent of everything that makes up the service on one machine.

    serve ──starts──> python -m gunicorn (master ──> workers ──> pool processes)
          ──signals─>
          <──status──

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

from service import settings as configuration
from service.engine import lifeline
from service.settings import Settings
from service.telemetry import logs

CONFIGURATION = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"
LIFELINE_VARIABLE = "EVERYCORE_LIFELINE_FD"

#: Seconds that a quick stop may take before it is enforced.
QUICK_STOP = 3.0
#: Seconds that Gunicorn gets beyond its own graceful timeout, which ends in SIGKILL for its workers.
MARGIN = 5.0

QUICK = (signal.SIGINT, signal.SIGQUIT)
PASSED_ON = (signal.SIGTERM, *QUICK, signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU)


class Supervisor:
    """Starts Gunicorn, passes signals on to it, sees to it that a stop ends, and tells how it ended."""

    def __init__(self, settings: Settings) -> None:
        self._graceful_timeout = settings.graceful_timeout
        self._log = logs.get_logger(pid=os.getpid())
        self._signals, self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._kill_at: float | None = None
        self._stopping_quickly = False
        # A terminal that is closed says SIGHUP too, and means "stop"; a service manager means "reload".
        self._on_terminal = sys.stdin is not None and sys.stdin.isatty()

    def run(self) -> int:
        """Serve until stopped; return the exit status, 128 + the signal's number for a death by signal."""
        # SIGUSR2 would start a second Gunicorn beside the one we know of, and end us by default.
        for signum in (*PASSED_ON, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(signum, lambda *_: None)  # a handler, however empty, makes the wake-up byte
        # A signal that comes to another thread, and NumPy may have started some, wakes no wait but this one.
        signal.set_wakeup_fd(self._wakeup)
        server = self._start()
        while (status := server.poll()) is None:
            self._handle(self._next_signal(), server)
        return status if status >= 0 else 128 - status

    def _start(self) -> subprocess.Popen[bytes]:
        read_end, self._lifeline = lifeline.pipe()
        # Gunicorn unblocks them when it handles them; before that they would kill it, with a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        # A session of its own: Ctrl-C reaches us, not Gunicorn and every process below it.
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(CONFIGURATION), "service.app:create_app()"],
            env={**os.environ, LIFELINE_VARIABLE: str(read_end)},
            pass_fds=[read_end],
            start_new_session=True,
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        os.close(read_end)
        return server

    def _next_signal(self) -> signal.Signals | None:
        """Wait for a signal, SIGCHLD included; return ``None`` when it is time to enforce a stop."""
        timeout = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        ready, _, _ = select.select([self._signals], [], [], timeout)
        return signal.Signals(os.read(self._signals, 1)[0]) if ready else None

    def _handle(self, signum: signal.Signals | None, server: subprocess.Popen[bytes]) -> None:
        if signum == signal.SIGHUP and self._on_terminal:
            signum = signal.SIGTERM
        if signum is None or (signum in QUICK and self._stopping_quickly):
            self._log.warning("stop enforced")
            os.killpg(server.pid, signal.SIGKILL)
            self._kill_at = None
        elif signum in QUICK:
            self._stopping_quickly = True
            self._stop(signum, server, within=QUICK_STOP)
        elif signum == signal.SIGTERM:
            self._stop(signum, server, within=self._graceful_timeout + MARGIN)
        elif signum == signal.SIGHUP and not self._configuration_holds():
            self._log.error("reload refused")
        elif signum in PASSED_ON:
            if signum == signal.SIGHUP:
                self._graceful_timeout = configuration.load().graceful_timeout
            server.send_signal(signum)

    def _stop(self, signum: signal.Signals, server: subprocess.Popen[bytes], *, within: float) -> None:
        server.send_signal(signum)
        latest = time.monotonic() + within
        # A second SIGTERM does not prolong the stop.
        self._kill_at = latest if self._kill_at is None else min(self._kill_at, latest)

    def _configuration_holds(self) -> bool:
        """Check it in a fresh process; Gunicorn would end at a mistake in it, and the service with it."""
        check = subprocess.run(
            [sys.executable, "-m", "service", "check"], stdout=subprocess.DEVNULL, check=False
        )
        return check.returncode == 0
