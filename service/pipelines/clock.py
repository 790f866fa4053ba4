"""Something to do every so often in the thread of a run, which waits for items that may be long in coming.

channel ─┐
         ├─> epoll ──> the engine asks the feed ──> PipelineRun looks for items
clock ───┘                        └──> every so often: ``look``
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable, Iterator

from service.engine.base import Call, Engine, Feed, OnEvent, Outcome, Outcomes
from service.errors import EngineUnavailable
from service.pipelines.wrapper import Wrapper


class Clock:
    """Rings every so many seconds until it is closed."""

    def __init__(self, seconds: float) -> None:
        """Start its thread; raises ``EngineUnavailable`` when there is none, or no descriptor, to be had."""
        self._seconds = seconds
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

    def has_rung(self) -> bool:
        """Tell whether it has rung since it was last asked."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """End the thread; a second call does nothing."""
        self._over.set()
        self._thread.join()
        self._close.close()


class Ticking(Wrapper):
    """Runs a feed, and looks up whenever the clock has rung, also while the feed has nothing to give."""

    def __init__(self, inner: Engine, clock: Clock, look: Callable[[], None]) -> None:
        """``look`` is called in the thread of the run."""
        super().__init__(inner)
        self._clock = clock
        self._look = look

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Run a feed; see ``base.Engine``."""
        assert isinstance(calls, Feed)
        feed = Feed(self._asked(calls.calls), self._clock.beside(calls.fd))
        return self._inner.run(
            feed, deadline=deadline, on_event=on_event, hangup_fd=hangup_fd, together=together
        )

    def _asked(self, calls: Iterator[Call | Outcome | None]) -> Iterator[Call | Outcome | None]:
        for call in calls:
            if call is None and self._clock.has_rung():
                self._look()
            yield call
