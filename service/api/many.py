"""Many calls in one request: each checked, run and answered by itself.

items ─> check ─┬─> calls ─> engine ─> outcomes ─┬─> entries, in order of completion
 (lazily)       └─> refused ─────────────────────┘

An entry is ``{"index", "result"}`` or ``{"index", "error"}``, encoded already.
"""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from service.api import problems
from service.api.problems import ResultNotJson
from service.api.requests import Trace
from service.api.results import dumps
from service.engine.base import Call, Engine, Outcome, Timing
from service.errors import Cancelled, EverycoreError
from service.tasks.contract import Contract

#: Refused items that wait to be answered; past it the run ends, they are answered, and another goes on.
MAX_REFUSED = 1000


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

    def add(self, timing: Timing) -> None:
        """Take one call's times in."""
        if timing.pid:
            self.ran += timing.run
            self.cpu += timing.cpu
            self.pids.add(timing.pid)

    def document(self) -> dict[str, Any]:
        """Return it as a client sees it; times in seconds."""
        wall = time.monotonic() - self.begun
        return {
            "total": self.succeeded + self.failed,
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
        items: Iterable[Item | EverycoreError],
        *,
        trace: Trace,
        deadline: float,
        stop_at_error: bool,
        with_timing: bool,
    ) -> None:
        """Prepare; ``entries`` does the work. An error among the items is an item that can't be one."""
        self.summary = Summary()
        self._items = iter(items)
        self._trace = trace
        self._deadline = deadline
        self._stop_at_error = stop_at_error
        self._with_timing = with_timing
        self._refused: deque[tuple[int, EverycoreError]] = deque()
        self._ended = False
        #: How many items were read.
        self._read = 0
        self._unanswered: set[int] = set()

    def entries(self, engine: Engine) -> Generator[tuple[int, bytes], None, None]:
        """Yield index and entry of each item as it completes; closing the generator stops what runs.

        Raises what ``Engine.run`` raises, before the first entry.
        """
        while not self._ended and not self._is_over():
            with closing(engine.run(self._calls(), deadline=self._deadline)) as outcomes:
                for outcome in outcomes:
                    yield from self._refusals()
                    if self._is_over():
                        break
                    yield outcome.index, self._entry(outcome)
                    if self._is_over():
                        break
            yield from self._refusals()
        yield from self._left_over()

    def _calls(self) -> Iterator[Call]:
        # The run has nothing to hand over while all items are refused, so they are not let pile up.
        while len(self._refused) < MAX_REFUSED:
            index = self._read
            try:
                item = next(self._items, None)
            except EverycoreError as error:  # the body breaks off
                self._refused.append((index, error))
                item = None
            if item is None:
                self._ended = True
                return
            self._read += 1
            try:
                if isinstance(item, EverycoreError):
                    raise item
                args = item.contract.validate_json(item.raw)
            except EverycoreError as error:
                self._refused.append((index, error))
                if self._stop_at_error:
                    return
                continue
            self._unanswered.add(index)
            task = item.contract.task
            yield Call(task.name, args, index, self._trace.id, task.timeout)

    def _is_over(self) -> bool:
        return self._stop_at_error and self.summary.failed > 0

    def _refusals(self) -> Iterator[tuple[int, bytes]]:
        while self._refused:
            index, error = self._refused.popleft()
            yield index, self._failure(index, error, None)

    def _left_over(self) -> Iterator[tuple[int, bytes]]:
        """Answer the items that were not run because another failed, as far as they were read."""
        if not self._is_over():
            return
        self._unanswered.update(range(self._read, self._read + operator.length_hint(self._items)))
        for index in sorted(self._unanswered):
            yield index, self._failure(index, Cancelled(), None)

    def _entry(self, outcome: Outcome) -> bytes:
        self._unanswered.discard(outcome.index)
        self._trace.ran([outcome.timing])
        self.summary.add(outcome.timing)
        if outcome.error is not None:
            return self._failure(outcome.index, outcome.error, outcome.timing)
        entry = {"index": outcome.index, "result": outcome.value, **self._timing(outcome.timing)}
        try:
            encoded = dumps(entry)
        except (ValueError, TypeError, RecursionError) as error:
            unfit = ResultNotJson(f"the result has no form in JSON: {error}")
            return self._failure(outcome.index, unfit, outcome.timing)
        self.summary.succeeded += 1
        return encoded

    def _failure(self, index: int, error: EverycoreError, timing: Timing | None) -> bytes:
        if self.summary.failed == 0:
            problems.note(error)  # the first is enough to find out; a million lines are of no use
        self.summary.failed += 1
        return dumps({"index": index, "error": problems.describe(error).document(), **self._timing(timing)})

    def _timing(self, timing: Timing | None) -> dict[str, Any]:
        return {"timing": timing_of(timing)} if timing is not None and self._with_timing else {}


def timing_of(timing: Timing) -> dict[str, float]:
    """Return a call's times in seconds, as a client sees them."""
    return {"queued": timing.wait, "run": timing.run, "cpu": timing.cpu, "pid": timing.pid}
