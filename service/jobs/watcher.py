"""Waiting for a job to change, without asking the database again and again.

    the database's bell ──> one thread of this process ──wakes──> waiters, each of which looks at its own job
                            (while somebody waits)

A bell may go unheard, when the database is away or a runner dies before it rings, so a waiter looks from
time to time anyway.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from service.errors import Abandoned
from service.jobs.database import Listener
from service.jobs.model import StoreUnavailable
from service.telemetry.logs import get_logger

#: Seconds after which a waiter looks though nobody has woken it.
FALLBACK = 1.0
#: Least seconds between two looks of one waiter, and looks in a second of all together.
GAP, LOOKS = 0.002, 400
#: Seconds for which the thread stays when nobody waits any more: the next one is often near.
LINGER = 10.0
#: Seconds between two attempts to hear, doubled each time up to the most.
AGAIN, MOST_AGAIN = 0.25, 5.0

_log = get_logger()


class Watcher:
    """Wakes the waiters of one process; any thread may wait."""

    def __init__(self, listen: Callable[[], Listener]) -> None:
        """Start nothing yet; ``listen`` opens what hears of changes."""
        self._listen = listen
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._thread: threading.Thread | None = None
        #: Descriptor by which the thread hears that it shall end.
        self._nudge = -1
        self._closing = threading.Event()
        self._listening = False
        #: Asked each second: whether those who wait should go home, for the process is to end.
        self.is_stopping: Callable[[], bool] = lambda: False

    @property
    def closed(self) -> bool:
        """Whether waiting has no use any more."""
        return self._closing.is_set() or self.is_stopping()

    @property
    def listening(self) -> bool:
        """Whether changes are heard of now."""
        return self._listening

    @property
    def gap(self) -> float:
        """Least seconds between two looks of a waiter now."""
        return max(GAP, len(self._waiters) / LOOKS)

    @contextmanager
    def waiter(self, hangup_fd: int | None = None) -> Generator[Waiter, None, None]:
        """Return the context of one who waits; ``hangup_fd`` is a connection to whoever has it wait."""
        waiter = Waiter(self, hangup_fd)
        try:
            with self._lock:
                self._waiters.add(waiter)
                if self._thread is None and not self._closing.is_set():
                    self._start()
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)
                waiter.close()

    def _start(self) -> None:
        nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        thread = threading.Thread(target=self._run, name="job-watcher", daemon=True)
        self._nudge, self._thread = nudge, thread
        try:
            thread.start()
        except BaseException:
            self._thread = None
            os.close(nudge)
            raise

    def close(self) -> None:
        """Send everybody home; a second call does nothing."""
        with self._lock:
            self._closing.set()
            thread = self._thread
            if thread is not None:
                os.eventfd_write(self._nudge, 1)
        self._wake_all()
        if thread is not None:
            thread.join(2 * FALLBACK)

    def _wake_all(self) -> None:
        with self._lock:
            for waiter in self._waiters:
                waiter.wake()

    # In the thread

    def _run(self) -> None:
        again = AGAIN
        while True:
            began = time.monotonic()
            try:
                self._listen_once()
            except StoreUnavailable as error:
                _log.warning("changes of jobs can't be heard of", reason=error.reason, again=again)
            except Exception:  # noqa: BLE001 - nobody else starts it again
                _log.exception("the watcher failed")
            else:
                return
            self._closing.wait(again)
            if self._is_over(LINGER):
                return
            again = min(2 * again, MOST_AGAIN) if time.monotonic() - began < 2 * MOST_AGAIN else AGAIN

    def _listen_once(self) -> None:
        """Hear of changes until nobody waits for them any more."""
        listener = self._listen()
        try:
            self._listening = True
            self._wake_all()  # what happened until now was not heard
            self._hear(listener)
        finally:
            self._listening = False
            listener.close()

    def _hear(self, listener: Listener) -> None:
        poll = select.poll()
        poll.register(listener.fileno(), select.POLLIN)
        poll.register(self._nudge, select.POLLIN)
        alone = 0.0
        while not self._is_over(alone):
            began = time.monotonic()
            if poll.poll(1000 * FALLBACK):
                listener.hear()
                self._wake_all()
            alone = 0.0 if self._waiters else alone + time.monotonic() - began

    def _is_over(self, alone: float) -> bool:
        """Tell whether the thread has no more to do; whoever comes later starts another."""
        with self._lock:
            over = self._closing.is_set() or (not self._waiters and alone >= LINGER)
            if over:
                self._thread = None
                os.close(self._nudge)
            return over


class Waiter:
    """One who waits; only its own thread may use it, but for ``wake``."""

    def __init__(self, watcher: Watcher, hangup_fd: int | None) -> None:
        """Begin with a look, which needs no waiting."""
        self._watcher = watcher
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._looked = time.monotonic()
        self._gone, self._any = select.poll(), select.poll()
        self._any.register(self._fd, select.POLLIN)
        if hangup_fd is not None:
            for poll in (self._gone, self._any):
                poll.register(hangup_fd, select.POLLRDHUP)

    def looks(self, until: float) -> Iterator[None]:
        """Yield each time that it is time to look: at once, in between, and at the end.

        The end is the ``time.monotonic()`` time ``until``, or when the process is to end. Raises
        ``Abandoned`` when the connection is hung up.
        """
        while True:
            yield
            if time.monotonic() >= until or self._watcher.closed:
                return
            self._wait(until)

    def _wait(self, until: float) -> None:
        self._poll(self._any, min(until, time.monotonic() + FALLBACK))
        # Looks that would follow each other closely are one.
        self._poll(self._gone, min(until, self._looked + self._watcher.gap))
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass
        self._looked = time.monotonic()

    def _poll(self, poll: select.poll, until: float) -> None:
        milliseconds = max(0.0, 1000 * (until - time.monotonic()))
        if any(fd != self._fd for fd, _ in poll.poll(milliseconds)):
            raise Abandoned

    def wake(self) -> None:
        """Have it look; the watcher's lock is held."""
        os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Give the descriptor back; the watcher's lock is held."""
        os.close(self._fd)
