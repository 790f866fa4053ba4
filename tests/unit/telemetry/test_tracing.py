"""Spans: whose child they are, when they were, whether they are sent."""

import importlib.util
import re
import socket
import time

import pytest
from opentelemetry.trace import SpanKind, StatusCode

import service
from service.errors import ConfigurationError
from service.telemetry import opentelemetry, tracing
from service.telemetry.opentelemetry import OpenTelemetry
from tests.spans import Kept, is_below, receiving, traceparent

FOREIGN = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=7"}


def test_without_an_endpoint_there_is_no_tracer():
    assert tracing.open_tracer(None, 1.0) is None


def test_without_opentelemetry_an_endpoint_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match="make tracing"):
        tracing.open_tracer("http://127.0.0.1:4318/v1/traces", 1.0)


def test_so_it_is_where_something_else_has_its_name(monkeypatch):
    def no_parent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", no_parent)

    with pytest.raises(ConfigurationError, match="not installed"):
        tracing.check("http://127.0.0.1:4318/v1/traces")
    tracing.check(None)


class TestSpans:
    def test_one_without_a_parent_begins_a_trace(self):
        tracer = Kept()

        span = tracer.begin("root", "server", None, details={"a": 1})
        span.end()

        root = tracer.one("root")
        assert root.parent is None
        assert root.kind is SpanKind.SERVER
        assert root.attributes == {"a": 1}
        assert span.context["traceparent"] == traceparent(root)

    def test_what_follows_from_one_is_below_it(self):
        tracer = Kept()

        above = tracer.begin("above", "consumer", None)
        tracer.begin("below", "internal", above.context).end()
        above.end()

        assert is_below(tracer.one("below"), tracer.one("above"))

    def test_a_context_from_elsewhere_goes_on_with_its_state(self):
        span = Kept().begin("ours", "server", FOREIGN)

        assert re.fullmatch(
            "00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", span.context["traceparent"]
        )
        assert span.context["tracestate"] == "vendor=7"
        assert tracing.trace_id(span.context) == "0af7651916cd43dd8448eb211c80319c"

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "hello",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01-",
            "x" * 100_000,
        ],
    )
    def test_what_is_no_context_begins_a_trace_of_its_own(self, bad):
        tracer = Kept()

        tracer.begin("ours", "server", {"traceparent": bad, "tracestate": "\x00,,=="}).end()

        assert tracer.one("ours").parent is None

    def test_times_are_those_of_the_monotonic_clock(self):
        tracer, now, mark = Kept(), time.time(), time.monotonic()

        span = tracer.begin("past", "internal", None, at=mark - 100)
        span.event("started", mark - 50)
        span.end(at=mark - 10)

        past = tracer.one("past")
        assert past.start_time is not None
        assert past.end_time is not None
        assert past.start_time / 1e9 == pytest.approx(now - 100, abs=1)
        assert past.events[0].timestamp / 1e9 == pytest.approx(now - 50, abs=1)
        assert past.end_time / 1e9 == pytest.approx(now - 10, abs=1)

    def test_a_span_of_no_time_does_not_end_before_it_begins(self):
        tracer = Kept()

        for _ in range(1000):
            tracer.begin("short", "internal", None).end(at=time.monotonic())

        assert all((span.end_time or 0) >= (span.start_time or 0) > 0 for span in tracer.spans)

    def test_an_end_tells_a_better_name_and_what_went_wrong_and_is_the_only_one(self):
        tracer = Kept()

        span = tracer.begin("GET", "server", None)
        span.end(name="GET /x", error="saturated", details={"http.response.status_code": 503})
        span.end(name="again")

        found = tracer.one("GET /x")
        assert found.status.status_code is StatusCode.ERROR
        assert found.status.description == "saturated"
        assert found.attributes == {"http.response.status_code": 503}

    def test_one_that_is_not_sampled_still_has_a_context_which_says_so(self):
        tracer = Kept(sample=0.0)

        span = tracer.begin("ours", "server", None)
        below = tracer.begin("below", "internal", span.context)
        below.end()
        span.end()

        assert int(span.context["traceparent"][-2:], 16) & 1 == 0
        assert tracing.trace_id(below.context) == tracing.trace_id(span.context)
        assert tracer.spans == ()

    def test_whoever_began_the_trace_decides_whether_it_is_sampled(self):
        unsampled = FOREIGN | {"traceparent": FOREIGN["traceparent"][:-2] + "00"}
        none, all_of_them = Kept(sample=0.0), Kept(sample=1.0)

        none.begin("ours", "server", FOREIGN).end()
        all_of_them.begin("ours", "server", unsampled).end()

        assert len(none.spans) == 1
        assert all_of_them.spans == ()


def test_what_clients_write_into_headers_is_not_logged(capsys, caplog):
    Kept().begin("ours", "server", FOREIGN | {"tracestate": "\x9b31m,rubbish=" + 9000 * "x"})

    assert caplog.text == ""
    assert capsys.readouterr() == ("", "")


def test_opentelemetrys_own_switch_turns_it_off(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert tracing.open_tracer("http://127.0.0.1:4318/v1/traces", 1.0) is None


class TestSending:
    def test_the_service_has_a_name_and_a_version(self):
        tracer = Kept()
        tracer.begin("one", "internal", None).end()

        resource = tracer.one("one").resource.attributes
        assert resource["service.name"] == "everycore"
        assert resource["service.version"] == service.__version__
        assert resource["telemetry.sdk.language"] == "python"

    @pytest.mark.parametrize(
        "variables",
        [{"OTEL_SERVICE_NAME": "pictures"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=pictures"}],
    )
    def test_opentelemetrys_own_variables_can_give_it_another_name(self, variables, monkeypatch):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        tracer = Kept()
        tracer.begin("one", "internal", None).end()

        assert tracer.one("one").resource.attributes["service.name"] == "pictures"

    def test_a_close_sends_what_is_left(self):
        with receiving() as receiver:
            tracer = tracing.open_tracer(receiver.url, 1.0)
            assert tracer is not None
            tracer.begin("one", "client", None, details={"b": True}).end(error="no")

            tracer.close()

        (span,) = receiver.spans
        assert (span.name, span.details, span.failed) == ("one", {"b": True}, True)

    def test_whom_nobody_hears_does_not_hold_a_process_up(self, monkeypatch):
        monkeypatch.setattr(opentelemetry, "LAST_SECONDS", 0.1)
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            tracer = OpenTelemetry(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1/traces", 1.0)
            tracer.begin("one", "internal", None).end()

            before = time.monotonic()
            tracer.close()
            took = time.monotonic() - before

            connection, _ = deaf.accept()  # it had begun to send
            connection.close()

        # An export has ten seconds.
        assert took < 5
        assert took >= 0.1
