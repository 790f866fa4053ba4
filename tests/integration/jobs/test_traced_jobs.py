"""Attempts of jobs as spans of the trace that the job was submitted in."""

from typing import Any

from opentelemetry.trace import SpanKind

from service.jobs.model import State
from tests.integration.jobs.test_postman import SETTINGS, hook, settled
from tests.integration.jobs.workshop import Workshop
from tests.spans import Kept, is_below, traceparent
from tests.unit.jobs.receivers import receiver, status


def submitted(tracer: Kept, workshop: Workshop, task: str, options: dict[str, Any], **args: Any) -> str:
    """Submit a job in a trace whose first span is ``request``."""
    request = tracer.begin("request", "server", None)
    job = workshop.submit(task, {"request_id": "mine", "trace": request.context, **options}, **args)
    request.end()
    return job


def ended(workshop: Workshop, tracer: Kept, number: int, name: str) -> None:
    """Wait for spans: one ends just after the job."""
    workshop.until(lambda: sum(span.name == name for span in tracer.spans) == number)


def test_an_attempt_is_below_the_request_and_its_call_below_the_attempt(workshop: Workshop) -> None:
    tracer = Kept()
    with workshop.runner(tracer=tracer):
        job = submitted(tracer, workshop, "twofold", {}, n=21)
        workshop.wait(job, State.SUCCEEDED)
        ended(workshop, tracer, 1, "job twofold")

    attempt, call = tracer.one("job twofold"), tracer.one("call twofold")
    assert is_below(attempt, tracer.one("request"))
    assert is_below(call, attempt)
    assert attempt.kind is SpanKind.CONSUMER
    assert attempt.attributes == {
        "everycore.task": "twofold",
        "everycore.job.id": job,
        "everycore.job.attempt": 1,
        "everycore.request_id": "mine",
        "everycore.outcome": "succeeded",
        "everycore.job.state": "succeeded",
    }


def test_each_attempt_is_one_of_the_same_trace(workshop: Workshop) -> None:
    tracer = Kept()
    with workshop.runner(tracer=tracer):
        job = submitted(tracer, workshop, "succeed_at", {}, file=str(workshop.notes), number=3)
        workshop.wait(job, State.SUCCEEDED)
        ended(workshop, tracer, 3, "job succeed_at")

    attempts = [span for span in tracer.spans if span.name == "job succeed_at"]
    assert [span.attributes["everycore.job.attempt"] for span in attempts if span.attributes] == [1, 2, 3]
    assert [span.attributes["everycore.outcome"] for span in attempts if span.attributes] == [
        "task-failed",
        "task-failed",
        "succeeded",
    ]
    assert [span.status.is_ok for span in attempts] == [False, False, True]
    assert all(is_below(span, tracer.one("request")) for span in attempts)


def test_one_that_is_cancelled_says_so(workshop: Workshop) -> None:
    tracer = Kept()
    with workshop.runner(tracer=tracer):
        held = workshop.folder / "held"
        job = submitted(tracer, workshop, "hold", {}, file=str(held))
        workshop.until(held.exists)  # before, there is no call yet
        workshop.store.cancel(job)
        workshop.wait(job, State.CANCELLED)
        ended(workshop, tracer, 1, "job hold")

    found = tracer.one("job hold").attributes
    assert found is not None
    assert found["everycore.outcome"] == "cancelled"
    assert tracer.one("call hold").status.is_ok is False


def test_a_job_without_a_trace_begins_one(workshop: Workshop) -> None:
    tracer = Kept()
    with workshop.runner(tracer=tracer):
        workshop.wait(workshop.submit("twofold", n=1), State.SUCCEEDED)
        ended(workshop, tracer, 1, "job twofold")

    assert tracer.one("job twofold").parent is None


def test_the_processes_of_a_pipeline_are_below_its_attempt(workshop: Workshop) -> None:
    tracer = Kept()
    with workshop.runner(tracer=tracer):
        job = submitted(tracer, workshop, "jobs.total", {}, items=[1, 2, 3])
        workshop.wait(job, State.SUCCEEDED)
        ended(workshop, tracer, 1, "job jobs.total")

    steps = [span for span in tracer.spans if span.name == "call jobs.total"]
    assert all(is_below(span, tracer.one("job jobs.total")) for span in steps)
    numbers = {span.attributes["everycore.pipeline.step"] for span in steps if span.attributes}
    assert numbers == set(range(len(numbers)))
    assert len(numbers) >= 2


def test_a_message_to_a_webhook_is_a_span_that_the_receiver_can_go_on_from(workshop: Workshop) -> None:
    tracer = Kept()
    with receiver(status(200)) as server, workshop.runner(tracer=tracer, **SETTINGS):
        job = submitted(tracer, workshop, "twofold", hook(server), n=1)
        settled(workshop, job)

    sent = tracer.one("POST")
    (request,) = server.requests
    assert request.headers["traceparent"] == traceparent(sent)
    assert is_below(sent, tracer.one("request"))
    assert sent.kind is SpanKind.CLIENT
    assert sent.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": f"127.0.0.1:{server.port}",
        "everycore.job.id": job,
    }


def test_a_message_that_is_not_taken_is_a_span_that_failed(workshop: Workshop) -> None:
    tracer = Kept()
    with receiver(status(410)) as server, workshop.runner(tracer=tracer, **SETTINGS):
        settled(workshop, submitted(tracer, workshop, "twofold", hook(server), n=1))

    sent = tracer.one("POST").attributes
    assert sent is not None
    assert (sent["http.response.status_code"], sent["error.type"]) == (410, "410")


def test_without_a_tracer_nothing_is_sent_along(workshop: Workshop) -> None:
    tracer = Kept()
    with receiver(status(200)) as server, workshop.runner(**SETTINGS):
        settled(workshop, submitted(tracer, workshop, "twofold", hook(server), n=1))

    (request,) = server.requests
    assert "traceparent" not in request.headers
