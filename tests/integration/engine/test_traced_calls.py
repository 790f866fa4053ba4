"""Calls with a trace context, in real pool processes."""

import time
from typing import Any

import pytest

from service.engine.base import Call
from service.engine.traced import MAX_SPANS, TracedEngine
from service.tasks import registry
from tests.integration.engine.conftest import TASKS
from tests.spans import Kept, is_below, traceparent

JOB_TASKS = "tests.integration.engine.job_tasks"


@pytest.fixture
def engine(make_engine):
    registry.load([JOB_TASKS])
    return make_engine(modules=[TASKS, JOB_TASKS], processes=1)


@pytest.fixture
def tracer():
    return Kept()


def outcomes(engine, calls):
    return sorted(engine.run(calls, deadline=time.monotonic() + 30), key=lambda outcome: outcome.index)


def values(engine, calls):
    return [outcome.result() for outcome in outcomes(engine, calls)]


def test_each_call_has_its_own_in_a_chunk_too(engine):
    contexts = [{"traceparent": f"of {i}"} for i in range(200)]
    calls = [Call("tell_trace", {}, i, trace=context) for i, context in enumerate(contexts)]

    assert values(engine, calls) == [(context, 1) for context in contexts]


def test_nothing_of_it_is_left_for_the_next_call(engine):
    traced = Call("tell_trace", trace={"traceparent": "mine"})

    assert values(engine, [traced]) == [({"traceparent": "mine"}, 1)]
    assert values(engine, [Call("tell_trace")]) == [({}, 1)]


def test_calls_with_and_without_and_of_jobs_can_be_of_one_run(engine):
    traced = {"trace": {"traceparent": "a"}}
    kinds: list[dict[str, Any]] = [{}, traced, {"attempt": 3}, {"attempt": 4, **traced}]
    calls = [Call("tell_trace", {}, i, **kinds[i % 4 if i < 40 else 1]) for i in range(80)]

    told = values(engine, calls)

    assert told == [(call.trace or {}, max(1, call.attempt)) for call in calls]


def test_a_call_that_fails_leaves_nothing_either(engine):
    failing = Call("tell_trace", {"unknown": 1}, 0, trace={"traceparent": "mine"})

    assert [outcome.error is None for outcome in outcomes(engine, [failing])] == [False]
    assert values(engine, [Call("tell_trace")]) == [({}, 1)]


def test_items_of_a_stream_know_it(engine):
    stream = Call("yield_traces", {"n": 3}, stream=True, trace={"traceparent": "mine"})

    got = list(engine.run([stream], deadline=time.monotonic() + 30))

    assert [outcome.value for outcome in got if not outcome.ended] == [{"traceparent": "mine"}] * 3


def test_spans_are_of_the_processes_that_ran(engine, tracer):
    calls = [Call("tell_trace", {}, i) for i in range(2 * MAX_SPANS)]

    got = outcomes(TracedEngine(engine, tracer), calls)

    told = [outcome.result()[0] for outcome in got]
    assert sorted(found["traceparent"] for found in told if found) == sorted(map(traceparent, tracer.spans))
    assert len(tracer.spans) == MAX_SPANS
    pids = {outcome.timing.pid for outcome in got}
    assert {span.attributes["process.pid"] for span in tracer.spans} == pids


def test_a_process_that_dies_fails_its_span(engine, tracer):
    (outcome,) = outcomes(TracedEngine(engine, tracer), [Call("segfault")])

    assert outcome.error is not None
    assert tracer.one("call segfault").attributes["error.type"] == "task-crashed"


def test_a_span_above_is_that_of_the_call(engine, tracer):
    above = tracer.begin("job", "consumer", None)

    values(TracedEngine(engine, tracer), [Call("tell_trace", attempt=1, trace=above.context)])
    above.end()

    assert is_below(tracer.one("call tell_trace"), tracer.one("job"))
