"""An engine for tests: the same verb, in this process, one call after the other."""

from __future__ import annotations

import os
import select
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace

from service.engine.base import Call, Event, Feed, OnEvent, Outcome, Outcomes, Timing
from service.engine.capture import Capture
from service.errors import (
    CallError,
    DeadlineExceeded,
    EngineUnavailable,
    MemoryLimitExceeded,
    Stopping,
    TaskFailed,
)
from service.tasks import registry
from service.tasks.options import qualified
from service.tasks.progress import emitter
from service.telemetry.tracing import current


class FakeEngine:
    """Runs calls in the caller's thread, and ends them as it is told."""

    def __init__(self, errors: Mapping[str, CallError | EngineUnavailable] | None = None) -> None:
        """``errors`` says, by name of task, how its calls end without being run."""
        self._errors = errors or {}
        #: Every call that was taken in, for a test to look at.
        self.calls: list[Call] = []
        #: The deadline of the latest run, and the connection it was to watch.
        self.deadline = 0.0
        self.hangup_fd: int | None = None
        #: Seconds that a call would wait, as a test wants it.
        self.backlog = 0.0
        #: Whether all that tasks share is loaded.
        self.ready = True
        #: Whether it takes no more work.
        self.closed = False

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Return one outcome per call, in the order of the calls; it has no processes for a pipeline."""
        assert not together
        self.hangup_fd = hangup_fd
        return Outcomes(self._run(calls, deadline, on_event))

    def _run(
        self, calls: Iterable[Call | Outcome] | Feed, deadline: float, on_event: OnEvent | None
    ) -> Generator[Outcome, None, None]:
        if self.closed:
            raise Stopping
        self.deadline = deadline
        begun = time.monotonic()
        for call in _fed(calls, deadline) if isinstance(calls, Feed) else calls:
            if isinstance(call, Outcome):
                yield call
                continue
            self.calls.append(call)
            outcome = self._outcome(call, begun, deadline, on_event)
            if call.stream and isinstance(outcome.value, list):
                yield from (replace(outcome, value=item, ended=False) for item in outcome.value)
                outcome = replace(outcome, value=None)
            yield outcome

    def warm(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Take no more work."""
        self.closed = True

    def _outcome(self, call: Call, begun: float, deadline: float, on_event: OnEvent | None) -> Outcome:
        started, cpu = time.monotonic(), time.thread_time()
        value, error = None, self._canned(call)
        if error is None and started >= deadline:
            error = DeadlineExceeded(max(deadline - begun, 0.0), started=False)
        if error is None:
            value, error = _execute(call, on_event)
        finished = time.monotonic()
        if error is None and finished >= deadline:
            value, error = None, DeadlineExceeded(deadline - begun, started=True)
        timing = Timing(os.getpid(), begun, started, finished, time.thread_time() - cpu)
        return Outcome(call.index, timing, value, error)

    def _canned(self, call: Call) -> CallError | None:
        error = self._errors.get(call.task)
        if isinstance(error, EngineUnavailable):
            raise error
        return error


def _fed(feed: Feed, deadline: float) -> Iterator[Call | Outcome]:
    for call in feed.calls:
        if call is not None:
            yield call
        elif not select.select([feed.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return


def _execute(call: Call, on_event: OnEvent | None) -> tuple[object, CallError | None]:
    def emit(kind: str, data: object) -> None:
        if on_event is not None:
            on_event(Event(call.index, kind, data))

    token = emitter.set(emit)
    trace = current.set(call.trace)
    capture = Capture(call.attempt) if call.attempt else None
    try:
        value = registry.get(call.task).function(**call.args)
        return list(value) if isinstance(value, Generator) else value, None
    except MemoryError:
        return None, MemoryLimitExceeded(None)
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its outcome
        bases = tuple(map(qualified, type(error).__mro__))
        return None, TaskFailed(type(error).__name__, str(error), traceback.format_exc(), bases)
    finally:
        if capture is not None:
            capture.close()
        current.reset(trace)
        emitter.reset(token)
