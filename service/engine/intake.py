"""The calls of a run that wait: some taken in already, the others still in the caller's iterator."""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.engine.base import Call, Feed, Outcome, Timing
from service.engine.estimates import MAX_CHUNK
from service.errors import CallError

#: See ``Intake.sent``.
FIRST_AHEAD = 64
#: Nothing more is taken in while this many outcomes wait for the caller.
MAX_READY = 4 * MAX_CHUNK

_END = object()


@dataclass(slots=True)
class Pending:
    """A call that waits for its turn."""

    call: Call
    #: When the run took it in.
    queued: float

    def unrun(self, error: CallError) -> Outcome:
        """Return the outcome of a call that never ran."""
        now = time.monotonic()
        return Outcome(self.call.index, Timing(0, self.queued, now, now), error=error)


class Intake:
    """Takes calls in as late as possible."""

    def __init__(self, calls: Iterable[Call | Outcome] | Feed) -> None:
        """Take nothing in yet."""
        #: Outcomes for the caller.
        self.ready: deque[Outcome] = deque()
        self._feed_fd = calls.fd if isinstance(calls, Feed) else None
        self._calls: Iterator[Call | Outcome | None] = calls.calls if isinstance(calls, Feed) else iter(calls)
        #: Whether the iterator has come to its end.
        self.ended = False
        #: Descriptor to wait for while the iterator has nothing to give; ``None`` otherwise.
        self.starved: int | None = None
        #: Calls still in the iterator, 0 when nobody knows.
        self._left = operator.length_hint(calls, 0)
        self._sized = self._left > 0
        self._pending: deque[Pending] = deque()
        #: How many to take in ahead, from an iterator of unknown length: their size is unknown, too.
        self._ahead = FIRST_AHEAD

    @property
    def known(self) -> bool:
        """Whether a call is known to wait."""
        return bool(self._pending or self._left)

    @property
    def head(self) -> Call | None:
        """The next call, if it has been taken in."""
        return self._pending[0].call if self._pending else None

    @property
    def remaining(self) -> int:
        """How many calls wait, 0 when nobody knows."""
        return self._left + len(self._pending) if self._left or self.ended or self._sized else 0

    def first(self) -> Pending | None:
        """Return the call whose turn is next; ``None`` when there are no more, or none now."""
        while not self._pending:
            if self.ended or len(self.ready) >= MAX_READY or not self._pull():
                return None
        return self._pending[0]

    def gather(self, most: int) -> int:
        """Take in up to ``most`` calls; return how many of them, from the first, can go together.

        They are of one task, all of them are jobs or none is, and all of them are traced or none is.
        """
        if most == 1 or self._pending[0].call.stream or self._pending[0].call.post is not None:
            return 1
        if not self._left:
            most = min(most, self._ahead)
        while len(self._pending) < most and len(self.ready) < MAX_READY and self._pull():
            pass
        first = self._pending[0].call
        task, job, traced = first.task, first.attempt > 0, first.trace is not None
        for number, pending in enumerate(self._pending):
            call = pending.call
            alike = call.task == task and (call.attempt > 0) is job and (call.trace is not None) is traced
            if number == most or not alike or call.stream or call.post is not None:
                return number
        return len(self._pending)

    def sent(self, count: int, *, full: bool) -> None:
        """Learn from a chunk of ``count`` calls how many to take in ahead; ``full``: no more went in."""
        self._ahead = max(1, count) if full else 2 * self._ahead

    def take(self) -> Pending:
        """Remove the first call that was taken in, and return it."""
        return self._pending.popleft()

    def put_back(self, calls: Sequence[Pending]) -> None:
        """Put calls before all others, in their order."""
        self._pending.extendleft(reversed(calls))

    def _pull(self) -> bool:
        if self.ended:
            return False
        call = next(self._calls, _END)
        self.starved = None
        if self._left:
            self._left -= 1
        if isinstance(call, Call):
            self._pending.append(Pending(call, time.monotonic()))
        elif isinstance(call, Outcome):
            self.ready.append(call)
        elif call is None:
            self.starved = self._feed_fd
            return False
        else:
            self.ended = True
            self._left = 0
            return False
        return True
