"""Something to do every so often in the thread of a run, which waits for items that may be long in coming.

channel ─┐
         ├─> epoll ──> the engine asks PipelineRun for items ──> every so often: ``look``
clock ───┘
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable

from service.errors import EngineUnavailable


class Clock:
    """Rings every so many seconds until it is closed."""

    def __init__(self, seconds: float, look: Callable[[], None]) -> None:
        """Start its thread; raises ``EngineUnavailable`` when there is none, or no descriptor, to be had.

        ``look`` is called in the thread of the run.
        """
        self._seconds = seconds
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline-clock", daemon=True)
        with contextlib.ExitStack() as undo:
            try:
                self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                undo.callback(os.close, self._bell)
                self._epoll = undo.enter_context(select.epoll())
                self._epoll.register(self._bell, select.EPOLLIN)
                self._thread.start()
            except (OSError, RuntimeError) as error:
                raise EngineUnavailable(f"no clock can be had: {error}") from error
            self._close = undo.pop_all()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            os.eventfd_write(self._bell, 1)

    def beside(self, fd: int) -> int:
        """Return a descriptor that is readable when ``fd`` is, or when the clock has rung."""
        self._epoll.register(fd, select.EPOLLIN)
        return self._epoll.fileno()

    def look_if_it_rang(self) -> None:
        """Look, if it has rung since this was called last."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        self._look()

    def close(self) -> None:
        """End the thread; a second call does nothing."""
        self._over.set()
        self._thread.join()
        self._close.close()
