"""Many calls in one request: each checked, run and answered by itself.

items ─> check ─┬─> calls ────> engine ─> outcomes ─> entries, in order of completion
 (lazily)       └─> refused ─────┘ (not run)

An entry is ``{"index", "result"}`` or ``{"index", "error"}``, encoded already.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from service.api import problems
from service.api.problems import BodyTooSlow, TooLate
from service.api.requests import Trace
from service.api.results import dumps
from service.engine.base import Call, Outcome, Outcomes, Timing
from service.errors import Cancelled, EverycoreError, ResultNotJson
from service.tasks.contract import Contract

#: Items between two looks at the clock, and seconds after which those not looked at are given up.
CLOCK_ITEMS, GRACE = 256, 1.0

_END = object()


class Listed(Iterator[Any]):
    """The items of a list, made one after the other; how many are left is known."""

    def __init__(self, values: list[Any], make: Callable[[Any], Item | EverycoreError]) -> None:
        """Make an item of each value when it is asked for."""
        self._values = iter(values)
        self._make = make

    def __next__(self) -> Item | EverycoreError:
        """Make the next one."""
        return self._make(next(self._values))

    def __length_hint__(self) -> int:
        """Tell how many are left."""
        return operator.length_hint(self._values)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the request, not checked yet."""

    contract: Contract
    #: Its arguments, a JSON object.
    raw: bytes


@dataclass(slots=True)
class Summary:
    """What came of all items together."""

    begun: float = field(default_factory=time.monotonic)
    succeeded: int = 0
    failed: int = 0
    #: Seconds that calls ran, added up.
    ran: float = 0.0
    cpu: float = 0.0
    pids: set[int] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Items that have ended."""
        return self.succeeded + self.failed

    def add(self, timing: Timing) -> None:
        """Take one call's times in."""
        self.ran += timing.run
        self.cpu += timing.cpu
        self.pids.add(timing.pid)

    def document(self) -> dict[str, Any]:
        """Return it as a client sees it; times in seconds."""
        wall = time.monotonic() - self.begun
        return {
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "wall": wall,
            "cpu": self.cpu,
            "speedup": self.ran / wall if wall > 0 else 0.0,
            "processes": len(self.pids),
        }


class Many:
    """The calls of one request; only its thread may use it."""

    def __init__(
        self,
        items: Iterable[Item | EverycoreError | None],
        *,
        trace: Trace,
        deadline: float,
        stop_at_error: bool,
        with_timing: bool,
    ) -> None:
        """Prepare. An error among the items stands for a bad one, ``None`` for one that may come later."""
        self.summary = Summary()
        self._items = iter(items)
        self._trace = trace
        self._deadline = deadline
        self._stop_at_error = stop_at_error
        self._with_timing = with_timing
        self._ended = False
        #: How many items were read.
        self._read = 0
        self._unanswered: set[int] = set()

    def calls(self) -> Iterator[Call | Outcome | None]:
        """Yield a call for each item, or the outcome of one that is refused; for ``Engine.run``."""
        while (item := self._next()) is not _END:
            if self._read % CLOCK_ITEMS == 0 and time.monotonic() > self._deadline + GRACE:
                self._ended = False
                return
            if item is None:
                yield None
                continue
            index = self._read
            self._read += 1
            try:
                if isinstance(item, EverycoreError):
                    raise item
                args = item.contract.validate_json(item.raw)
            except EverycoreError as error:
                yield _refused(index, error)
                if self._stop_at_error:
                    return
            else:
                self._unanswered.add(index)
                task = item.contract.task
                yield Call(task.name, args, index, self._trace.id, task.timeout)

    def _next(self) -> Any:
        try:
            item = next(self._items, _END)
        except EverycoreError as error:  # the body breaks off
            self._items, item = iter(()), error
        self._ended = item is _END
        return item

    def entries(self, outcomes: Outcomes) -> Generator[tuple[int, bytes], None, None]:
        """Yield index and entry of each item as it completes.

        Raises what ``Engine.run`` raises, before the first entry.
        """
        for outcome in outcomes:
            yield outcome.index, self._entry(outcome)
            if self._stop_at_error and self.summary.failed:
                outcomes.close()
                yield from self._left_over()
                return
        if self._ended:
            return
        if left := operator.length_hint(self._items):
            raise TooLate(left)
        yield self._read, self._failure(_refused(self._read, BodyTooSlow()))

    def _left_over(self) -> Iterator[tuple[int, bytes]]:
        """Answer the items that were not run because another failed, as far as they were read."""
        self._unanswered.update(range(self._read, self._read + operator.length_hint(self._items)))
        for index in sorted(self._unanswered):
            yield index, self._failure(_refused(index, Cancelled()))

    def _entry(self, outcome: Outcome) -> bytes:
        self._unanswered.discard(outcome.index)
        if outcome.timing.pid:
            self._trace.ran(outcome.timing)
            self.summary.add(outcome.timing)
        if outcome.error is not None:
            return self._failure(outcome)
        try:
            # Put together by hand: of a million small items, encoding them is the largest part.
            result = dumps(outcome.value)
        except (ValueError, TypeError, RecursionError) as error:
            return self._failure(replace(outcome, error=ResultNotJson.because(error)))
        self.summary.succeeded += 1
        return b'{"index":%d,"result":%b%b}' % (outcome.index, result, self._timing(outcome))

    def _failure(self, outcome: Outcome) -> bytes:
        error = outcome.error
        assert error is not None
        if self.summary.failed == 0:
            problems.note(error)  # the first is enough to find out; a million lines are of no use
        self.summary.failed += 1
        problem = problems.describe(error).document()
        return b'{"index":%d,"error":%b%b}' % (outcome.index, dumps(problem), self._timing(outcome))

    def _timing(self, outcome: Outcome) -> bytes:
        timing = outcome.timing
        if not self._with_timing or not timing.pid:
            return b""
        # The form of a float in Python is one in JSON, unless it is infinite.
        return b',"timing":{"queued":%r,"run":%r,"cpu":%r,"pid":%d}' % tuple(timing_of(timing).values())


def _refused(index: int, error: EverycoreError) -> Outcome:
    now = time.monotonic()
    return Outcome(index, Timing(0, now, now, now), error=error)


def timing_of(timing: Timing) -> dict[str, float]:
    """Return a call's times in seconds, as a client sees them."""
    return {"queued": timing.wait, "run": timing.run, "cpu": timing.cpu, "pid": timing.pid}
