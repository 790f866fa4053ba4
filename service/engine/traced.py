"""An engine whose calls are spans.

calls ─> a span each, begun when the call is taken in ─> engine ─> outcome: the span ends
"""

from __future__ import annotations

import operator
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar, cast

from service.engine.around import AroundEngine
from service.engine.base import Call, Engine, Feed, OnEvent, Outcome, Outcomes
from service.engine.problems import kind_of
from service.errors import Cancelled, EverycoreError
from service.telemetry.tracing import Context, Span, Tracer, Value, current

#: Calls of one run that have spans; the others belong to that of whoever asked. A map may have a million.
MAX_SPANS = 128

#: What an engine takes in.
Taken = TypeVar("Taken", bound=Call | Outcome | None)


def traced(engine: Engine, tracer: Tracer | None) -> Engine:
    """Return an engine whose calls are spans, if anybody traces."""
    return engine if tracer is None else TracedEngine(engine, tracer)


class TracedEngine(AroundEngine):
    """Hands calls to another engine, each with the context of its span."""

    def __init__(self, inner: Engine, tracer: Tracer) -> None:
        """Close ``inner`` with this one."""
        super().__init__(inner)
        self._tracer = tracer

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Return one outcome per call; see ``base.Engine``.

        The span above that of a call is the call's own, or the one that this thread works for.
        """
        spans = _Spans(self._tracer, current.get())
        if isinstance(calls, Feed):
            taken: Iterable[Call | Outcome] | Feed = replace(calls, calls=_Traced(calls.calls, spans))
        else:
            taken = _Traced(calls, spans)
        inner = self._inner.run(
            taken, deadline=deadline, on_event=on_event, hangup_fd=hangup_fd, together=together
        )
        return _TracedOutcomes(inner, spans)


class _Spans:
    """Those of one run, by index of the call."""

    def __init__(self, tracer: Tracer, above: Context | None) -> None:
        self._tracer = tracer
        self._above = above
        self._open: dict[int, Span] = {}
        self._begun = 0

    def begin(self, call: Call) -> Call:
        """Return the call with the context of a span of its own, or of the one above."""
        above = self._above if call.trace is None else call.trace
        if self._begun == MAX_SPANS:
            return call if above is None else replace(call, trace=above)
        self._begun += 1
        details: dict[str, Value] = {"everycore.task": call.task, "everycore.call.index": call.index}
        if call.post is not None:
            details["everycore.pipeline.step"] = call.post.step
        span = self._open[call.index] = self._tracer.begin(
            f"call {call.task}", "internal", above, details=details
        )
        return replace(call, trace=span.context)

    def end(self, outcome: Outcome) -> None:
        """End the span of a call."""
        if not outcome.ended or (span := self._open.pop(outcome.index, None)) is None:
            return
        timing, details = outcome.timing, _told(outcome)
        if timing.pid:
            span.event("started", timing.started)
        error = "" if outcome.error is None else str(details["error.type"])
        span.end(at=timing.finished, error=error, details=details)

    def end_all(self, error: EverycoreError) -> None:
        """End those of calls that have no outcome."""
        slug = kind_of(error).slug
        while self._open:
            self._open.popitem()[1].end(error=slug, details={"error.type": slug})


def _told(outcome: Outcome) -> dict[str, Value]:
    details: dict[str, Value] = {}
    if outcome.timing.pid:
        details = {
            "process.pid": outcome.timing.pid,
            "everycore.call.wait_seconds": outcome.timing.wait,
            "everycore.call.cpu_seconds": outcome.timing.cpu,
        }
    if outcome.error is not None:
        details["error.type"] = kind_of(outcome.error).slug
    return details


class _Traced(Iterator[Taken]):
    """Calls as they are taken in; says as well how many there are."""

    def __init__(self, calls: Iterable[Taken], spans: _Spans) -> None:
        self._left = operator.length_hint(calls, 0)
        self._calls = iter(calls)
        self._spans = spans

    def __next__(self) -> Taken:
        call = next(self._calls)
        return cast("Taken", self._spans.begin(call)) if isinstance(call, Call) else call

    def __length_hint__(self) -> int:
        return self._left


class _TracedOutcomes(Outcomes):
    """Outcomes as they come; what has none by the end is cancelled."""

    def __init__(self, inner: Outcomes, spans: _Spans) -> None:
        super().__init__(self._each(inner))
        self._inner = inner
        self._spans = spans

    @property
    def at_hand(self) -> bool:
        """Whether there is a next one already."""
        return self._inner.at_hand

    def close(self) -> None:
        """Stop what is left; a second call does nothing."""
        super().close()
        # A generator that has not begun has nothing to finish.
        self._inner.close()
        self._spans.end_all(Cancelled())

    def _each(self, inner: Outcomes) -> Generator[Outcome, None, None]:
        try:
            for outcome in inner:
                self._spans.end(outcome)
                yield outcome
        except EverycoreError as error:
            self._spans.end_all(error)
            raise
        finally:
            inner.close()
            self._spans.end_all(Cancelled())
