"""Calls that one pool process was sent together, and what is known about them."""

from __future__ import annotations

import math
import time
from typing import Any

from service.engine.base import Outcome, Timing
from service.engine.estimates import CHUNK_SECONDS, LEAST_PATIENCE
from service.engine.failures import MEMORY, OK, UNSENDABLE, error_of
from service.engine.intake import Pending
from service.engine.process import FAR, PoolProcess
from service.errors import CallError


class Chunk:
    """Calls of one task in a pool process.

    The process begins them in order. ``kept`` of them are still its own; the ones behind were taken back.
    ``done`` have ended and were read. If there is one between the two, it may be running.
    """

    def __init__(
        self,
        process: PoolProcess,
        task: str,
        calls: list[Pending],
        sent: float,
        patience: float,
        limit: int | None,
    ) -> None:
        """Note that ``calls`` were sent at ``sent`` or just after, and are late ``patience`` seconds later.

        ``limit`` is the memory limit of the process, in bytes.
        """
        self.process = process
        self.task = task
        self.calls = calls
        self.kept = len(calls)
        self._alone = len(calls) == 1
        #: Whether nobody has waited for it yet.
        self.is_new = True
        timeout = calls[0].call.timeout
        #: Whether it may be waited for like something that is about to end.
        self.should_be_short = patience <= LEAST_PATIENCE and (timeout is None or timeout > FAR)
        self.stream = calls[0].call.stream
        #: Whether it is a place in a run of a pipeline, and no call of a task.
        self.posted = calls[0].call.post is not None
        #: Whether what it takes says how long calls of the task take.
        self.tells_pace = not (self.stream or self.posted)
        #: Whether what it says comes before its outcomes.
        self.talks = self.stream or calls[0].call.attempt > 0
        self.done = 0
        #: Seconds that the calls which are done ran.
        self.spent = 0.0
        #: When the calls not begun should be given to others.
        self.late = sent + patience
        #: When it was looked after.
        self.looked = sent
        # The call that runs now began later than this; an earlier start is another call's.
        self._mark = sent
        self._memory_limit = limit

    def take_back(self) -> list[Pending]:
        """Take the calls not begun away from the process."""
        self.kept -= self.process.take_back()
        back = self.calls[self.kept :]
        del self.calls[self.kept :]
        return back

    def kill(self) -> list[Pending]:
        """Kill the process, and return the calls it had not begun."""
        self.process.kill()
        back = self.take_back()
        if self._alone and self.process.responses.started == 0.0:
            self.kept = 0
            back, self.calls = self.calls, []
        return back

    def read(self, most: int | None = None) -> list[Outcome]:
        """Return the outcomes that came since the last time, or the first of them."""
        unread = self.process.responses.unread
        return [self._outcome() for _ in range(unread if most is None else most)]

    def _outcome(self) -> Outcome:
        pending = self.calls[self.done]
        try:
            status, value, (started, finished, cpu) = self.process.responses.load()
        except Exception as error:  # noqa: BLE001 - unpickling runs code of the user's
            status, value = UNSENDABLE, f"{type(error).__name__}: {error}"
            # Its times are lost with it. The mark stays: now is too late, the next call may be running.
            started = finished = time.monotonic()
            cpu = 0.0
        else:
            self._mark = finished
        self.done += 1
        self.spent += finished - started
        timing = Timing(self.process.pid, pending.queued, started, finished, cpu)
        if status == OK:
            return Outcome(pending.call.index, timing, value)
        return Outcome(pending.call.index, timing, error=self._error(status, value))

    def item(self, content: bytes) -> Outcome:
        """Return what a streamed call has yielded; raises whatever unpickling raises."""
        pending, now = self.calls[0], time.monotonic()
        timing = Timing(self.process.pid, pending.queued, self.started or now, now)
        return Outcome(pending.call.index, timing, self.process.item(content), ended=False)

    def _error(self, status: int, value: Any) -> CallError:
        if status == MEMORY:
            self.process.worn = True  # what it could not have may have left it in pieces
        return error_of(status, value, self._memory_limit)

    def outcome_of_running(self, error: CallError) -> Outcome:
        """Return the outcome of the call that was running when its process ended."""
        pending, now = self.calls[self.done], time.monotonic()
        timing = Timing(self.process.pid, pending.queued, self.started or now, now)
        self.done += 1
        return Outcome(pending.call.index, timing, error=error)

    @property
    def started(self) -> float | None:
        """When the call that runs now began; ``None`` when none is known to run."""
        started = self.process.responses.started
        return started if self.done < self.kept and started >= self._mark else None

    def overdue(self, now: float) -> float | None:
        """Return the limit, in seconds, that the running call has passed."""
        if (started := self.started) is None:
            return None
        limit = self.calls[self.done].call.timeout
        return limit if limit is not None and now >= started + limit else None

    @property
    def next_look(self) -> float:
        """When to look after it, whatever it says until then."""
        look, soon = math.inf, self.looked + 0.001
        if self.kept - self.done > 1:
            look = min(self.looked + CHUNK_SECONDS, max(self.late, soon))
        if self.done < self.kept and (limit := self.calls[self.done].call.timeout) is not None:
            # One that has not begun yet can't be overdue before this either.
            look = min(look, max((self.started or self._mark) + limit, soon))
        return look
