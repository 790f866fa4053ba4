"""Calls as spans, on an engine that runs them in this process."""

import operator
import time

import pytest
from opentelemetry.trace import StatusCode

from service.engine.base import Call, Feed, Outcome, Timing
from service.engine.fake import FakeEngine
from service.engine.traced import MAX_SPANS, TracedEngine
from service.errors import DeadlineExceeded, EngineUnavailable, Saturated, TaskFailed
from service.tasks import task, trace_headers
from service.telemetry.tracing import current
from tests.spans import Kept, is_below, traceparent


@task
def trace_of_mine() -> dict[str, str]:
    """Return the headers for others."""
    return trace_headers()


@task
def fails_when_traced() -> None:
    """Fail."""
    raise LookupError("no")


@pytest.fixture
def tracer():
    return Kept()


@pytest.fixture
def inner():
    return FakeEngine()


@pytest.fixture
def engine(inner, tracer):
    return TracedEngine(inner, tracer)


def run(engine, calls, **more):
    return list(engine.run(calls, deadline=time.monotonic() + 10, **more))


def test_a_call_is_a_span_below_the_one_that_this_thread_works_for(engine, tracer):
    above = tracer.begin("request", "server", None)
    token = current.set(above.context)
    try:
        (outcome,) = run(engine, [Call("trace_of_mine", index=7)])
    finally:
        current.reset(token)
    above.end()

    span = tracer.one("call trace_of_mine")
    assert is_below(span, tracer.one("request"))
    assert span.attributes["everycore.task"] == "trace_of_mine"
    assert span.attributes["everycore.call.index"] == 7
    assert span.attributes["process.pid"] == outcome.timing.pid
    assert span.attributes["everycore.call.wait_seconds"] == outcome.timing.wait
    assert span.attributes["everycore.call.cpu_seconds"] == outcome.timing.cpu
    assert [event.name for event in span.events] == ["started"]
    assert span.status.status_code is StatusCode.UNSET


def test_what_a_task_asks_of_others_is_below_its_call(engine, tracer):
    (outcome,) = run(engine, [Call("trace_of_mine")])

    assert outcome.value == {"traceparent": traceparent(tracer.one("call trace_of_mine"))}


def test_without_a_trace_a_task_has_no_headers(inner):
    (outcome,) = run(inner, [Call("trace_of_mine")])

    assert outcome.value == {}
    assert trace_headers() == {}


def test_a_call_with_a_trace_of_its_own_is_below_that(engine, tracer):
    jobs = [tracer.begin(name, "consumer", None) for name in ("first", "second")]
    token = current.set({"traceparent": "none"})
    try:
        run(engine, [Call("trace_of_mine", {}, i, trace=job.context) for i, job in enumerate(jobs)])
    finally:
        current.reset(token)
    for job in jobs:
        job.end()

    first, second = (span for span in tracer.spans if span.name == "call trace_of_mine")
    assert is_below(first, tracer.one("first"))
    assert is_below(second, tracer.one("second"))


def test_a_failure_is_told_by_its_problem(engine, tracer):
    (outcome,) = run(engine, [Call("fails_when_traced")])

    span = tracer.one("call fails_when_traced")
    assert isinstance(outcome.error, TaskFailed)
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == span.status.description == "task-failed"


def test_of_many_calls_some_have_spans_and_all_belong_to_the_trace(engine, tracer):
    above = tracer.begin("request", "server", None)
    token = current.set(above.context)
    try:
        outcomes = run(engine, [Call("trace_of_mine", {}, i) for i in range(MAX_SPANS + 5)])
    finally:
        current.reset(token)

    assert len(tracer.spans) == MAX_SPANS
    assert [outcome.value for outcome in outcomes[MAX_SPANS:]] == [above.context] * 5


def test_calls_beyond_those_with_spans_stay_as_they_are_where_nothing_is_above(engine):
    outcomes = run(engine, [Call("trace_of_mine", {}, i) for i in range(MAX_SPANS + 1)])

    assert outcomes[-1].value == {}


def test_outcomes_of_refused_calls_go_through_without_a_span(engine, tracer):
    refused = Outcome(0, Timing(0, 0.0, 0.0, 0.0), error=Saturated("full", 1.0))

    assert run(engine, [refused]) == [refused]
    assert tracer.spans == ()


def test_calls_of_a_feed_are_spans_too(engine, tracer):
    (outcome,) = run(engine, Feed(iter([Call("trace_of_mine")]), -1))

    assert outcome.value == {"traceparent": traceparent(tracer.one("call trace_of_mine"))}


def test_a_call_that_never_ran_has_no_process(tracer):
    class Late(FakeEngine):
        def _run(self, calls, deadline, on_event):
            for call in calls:
                now = time.monotonic()
                yield Outcome(
                    call.index, Timing(0, now, now, now), error=DeadlineExceeded(1.0, started=False)
                )

    run(TracedEngine(Late(), tracer), [Call("trace_of_mine")])

    span = tracer.one("call trace_of_mine")
    assert span.attributes["error.type"] == "deadline-exceeded"
    assert "process.pid" not in span.attributes
    assert span.events == ()


def test_a_run_that_is_refused_ends_the_spans_of_its_calls(tracer):
    engine = TracedEngine(FakeEngine({"trace_of_mine": EngineUnavailable("no room")}), tracer)

    with pytest.raises(EngineUnavailable):
        run(engine, [Call("trace_of_mine")])

    assert tracer.one("call trace_of_mine").attributes["error.type"] == "unavailable"


class Stuck(FakeEngine):
    """Takes everything in, and gives no outcome but the first."""

    def _run(self, calls, deadline, on_event):
        self.calls += list(calls)
        yield Outcome(0, Timing(1, 0.0, 0.0, 0.0))
        yield Outcome(0, Timing(1, 0.0, 0.0, 0.0))


def test_calls_that_are_given_up_are_cancelled(tracer):
    outcomes = TracedEngine(Stuck(), tracer).run(
        [Call("trace_of_mine", {}, i) for i in range(3)], deadline=time.monotonic() + 10
    )

    next(outcomes)
    outcomes.close()
    outcomes.close()

    assert [span.attributes.get("error.type") for span in tracer.spans] == [None, "cancelled", "cancelled"]


def test_outcomes_that_nobody_asks_for_are_closed_within(inner, engine):
    outcomes = engine.run([Call("trace_of_mine")], deadline=time.monotonic() + 10)

    outcomes.close()

    assert inner.calls == []
    assert not outcomes.at_hand


def test_items_of_a_stream_end_no_span(engine, tracer):
    outcomes = engine.run([Call("count_in_stream", stream=True)], deadline=time.monotonic() + 10)

    assert next(outcomes).value == 0
    assert tracer.spans == ()
    assert [outcome.ended for outcome in outcomes] == [False, True]
    assert tracer.one("call count_in_stream")


@task
def count_in_stream() -> list[int]:
    """Return two numbers."""
    return [0, 1]


def test_an_engine_knows_still_how_many_calls_there_are(tracer):
    lengths = []

    class Measuring(FakeEngine):
        def run(self, calls, **more):
            lengths.append(operator.length_hint(calls, 0))
            return super().run(calls, **more)

    run(TracedEngine(Measuring(), tracer), [Call("trace_of_mine", {}, i) for i in range(3)])
    run(TracedEngine(Measuring(), tracer), (Call("trace_of_mine", {}, i) for i in range(3)))

    assert lengths == [3, 0]


def test_it_is_as_the_engine_within(inner, engine):
    inner.backlog, inner.ready = 3.0, False

    engine.warm()
    assert (engine.backlog, engine.ready, engine.closed) == (3.0, False, False)
    engine.close()
    assert inner.closed
    assert engine.closed
