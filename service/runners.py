"""The runners that ``serve`` starts: as many as there should be, each started anew when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from service import children
from service.telemetry import logs

#: Seconds before a runner is started again, at first and at most; twice as many after each early death.
FIRST_DELAY, MAX_DELAY = 0.1, 30.0
#: A runner that has lived for so many seconds has not died early.
SETTLED = 10.0


class Runners:
    """``count`` child processes, looked after by one thread."""

    def __init__(self, count: int, lifeline_fd: int) -> None:
        """Start none yet; each hangs on the pipe ``lifeline_fd``."""
        self._count = count
        self._lifeline_fd = lifeline_fd
        self._log = logs.get_logger(pid=os.getpid())
        self._children: dict[subprocess.Popen[bytes], float] = {}
        self._retiring: set[subprocess.Popen[bytes]] = set()
        #: Whether there are to be no more.
        self.stopping = False
        self._delay = FIRST_DELAY
        self._start_at = 0.0

    @property
    def alive(self) -> bool:
        """Whether there are any, old ones included."""
        return any(child.poll() is None for child in (*self._children, *self._retiring))

    def look_after(self) -> float | None:
        """Start those that are missing; return when to do so again if it is too early now."""
        self._retiring = {child for child in self._retiring if child.poll() is None}
        now = time.monotonic()
        for child, started in tuple(self._children.items()):
            if (status := child.poll()) is not None:
                del self._children[child]
                if not self.stopping:
                    self._put_off(settled=now - started >= SETTLED)
                    self._log.error("a runner died", runner_pid=child.pid, status=status, next_in=self._delay)
        while not self.stopping and len(self._children) < self._count:
            if now < self._start_at or not self._start(now):
                return self._start_at
        return None

    def _put_off(self, *, settled: bool) -> None:
        self._delay = FIRST_DELAY if settled else min(MAX_DELAY, 2 * self._delay)
        self._start_at = time.monotonic() + self._delay

    def _start(self, now: float) -> bool:
        try:
            child = children.start(("service", "runner"), self._lifeline_fd)
        except OSError as error:
            # There may be no more processes now, which must not end the service.
            self._put_off(settled=False)
            self._log.error("a runner can't be started", error=str(error), next_in=self._delay)
            return False
        self._children[child] = now
        return True

    def stop(self, signum: signal.Signals) -> None:
        """Start no more, and pass a signal on to all there are."""
        self.stopping = True
        self._signal(signum)

    def renew(self, count: int) -> None:
        """Let ``count`` new ones take the place of those there are, which end in their own time."""
        self._signal(signal.SIGTERM)
        self._retiring |= set(self._children)
        self._children.clear()
        self._count, self._delay, self._start_at = count, FIRST_DELAY, 0.0

    def kill(self) -> None:
        """End all at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, signum: signal.Signals) -> None:
        for child in (*self._children, *self._retiring):
            child.send_signal(signum)  # which does nothing to one that has ended
