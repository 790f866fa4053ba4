"""Room for processes that need each other, such as those of a pipeline: for all of them, or for none yet.

If each took its process when it found one free, two pipelines could wait for ever for what the other has.
So a crew waits in line until there is room for all of it, and then no process of it ever waits for room.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from service.engine.turn import check_connected
from service.errors import ConfigurationError, DeadlineExceeded, Saturated

#: Seconds between two looks whether whoever waits has gone.
LOOK_AGAIN = 0.05


class Crews:
    """Room for ``most`` processes, in a pool, of whoever needs several together."""

    def __init__(self, most: int) -> None:
        """Begin with all of it free."""
        self.most = most
        self._taken = 0
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def room(
        self,
        size: int,
        until: float,
        queued_until: float,
        hangup_fd: int | None,
        check_open: Callable[[], None],
    ) -> Iterator[None]:
        """Have room for ``size`` processes, first come, first served.

        Raises ``DeadlineExceeded`` at ``until``, ``Saturated`` at ``queued_until``, ``Abandoned`` when
        ``hangup_fd`` is hung up, ``ConfigurationError`` when there is never so much room, and what
        ``check_open`` raises.
        """
        if size > self.most:
            raise ConfigurationError(
                f"{size} processes are needed together, and at most {self.most} may be had"
            )
        self._enter(size, until, queued_until, hangup_fd, check_open)
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    def _enter(
        self,
        size: int,
        until: float,
        queued_until: float,
        hangup_fd: int | None,
        check_open: Callable[[], None],
    ) -> None:
        began, place = time.monotonic(), object()
        with self._changed:
            self._line.append(place)
            try:
                while self._line[0] is not place or self._taken + size > self.most:
                    check_open()
                    check_connected(hangup_fd)
                    now = time.monotonic()
                    if now >= until:
                        raise DeadlineExceeded(until - began, started=False)
                    if now >= queued_until:
                        raise Saturated(
                            f"no room for {size} processes became free in time", retry_after=now - began
                        )
                    self._changed.wait(min(LOOK_AGAIN, until - now, queued_until - now))
                self._taken += size
            finally:
                self._line.remove(place)
                self._changed.notify_all()
