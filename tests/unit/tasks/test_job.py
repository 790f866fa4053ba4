"""What a task sees of its job."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.tasks import attempt, log
from service.tasks.job import MAX_LINE, current_attempt, current_call
from service.tasks.progress import emitter
from service.telemetry.tracing import current


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """Be somebody who listens to a call."""
    events: list[tuple[str, Any]] = []
    token = emitter.set(lambda kind, data: events.append((kind, data)))
    yield events
    emitter.reset(token)


@pytest.fixture
def third_attempt(heard: list[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    """Have that call be one of a job."""
    token = current_attempt.set(3)
    yield heard
    current_attempt.reset(token)


def lines(events: list[tuple[str, Any]]) -> list[str]:
    assert all(kind == "log" and data["stream"] == "log" for kind, data in events)
    return [data["line"] for _, data in events]


def test_in_a_job_a_line_goes_to_its_log(
    third_attempt: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    log("read", 5, "rows")
    log("a", None, sep="=")
    log()

    assert lines(third_attempt) == ["read 5 rows", "a=None", ""]
    assert capsys.readouterr() == ("", "")


def test_text_of_several_lines_makes_several(third_attempt: list[tuple[str, Any]]) -> None:
    log("one\ntwo\n")

    assert lines(third_attempt) == ["one", "two", ""]


def test_a_line_that_is_too_long_comes_in_pieces(third_attempt: list[tuple[str, Any]]) -> None:
    log("x" * (2 * MAX_LINE) + "y")

    assert lines(third_attempt) == ["x" * MAX_LINE, "x" * MAX_LINE, "y"]


def test_what_no_file_could_hold_is_escaped(third_attempt: list[tuple[str, Any]]) -> None:
    log("ü \ud83d")

    assert lines(third_attempt) == ["ü \\ud83d"]


def test_outside_of_a_call_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    log("read", 5, "rows")

    assert capsys.readouterr().out == "read 5 rows\n"


def test_in_a_call_that_is_of_no_job_it_is_printed_too(
    heard: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    log("read", 5, "rows")

    assert capsys.readouterr().out == "read 5 rows\n"
    assert heard == []


def test_where_no_info_is_logged_it_says_nothing(
    heard: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    token = current_call.set({})
    log("nobody wants to know")
    current_call.reset(token)

    assert capsys.readouterr().out == ""
    assert heard == []


def test_a_reader_of_the_log_that_went_away_makes_no_call_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    token = current_call.set({"task": "mine", "request_id": "order-7"})
    with open(writer, "w", closefd=False) as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        try:
            log("hello")
        finally:
            current_call.reset(token)
            monkeypatch.undo()
            # What could not be written would be tried again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    os.close(writer)


def test_a_job_knows_its_attempt(third_attempt: list[tuple[str, Any]]) -> None:
    assert attempt() == 3


def test_everything_else_is_a_first_attempt(heard: list[tuple[str, Any]]) -> None:
    assert attempt() == 1


def test_in_a_call_of_a_request_it_is_a_line_of_the_services_log(
    heard: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    token = current_call.set({"task": "mine", "request_id": "order-7"})
    trace = current.set({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    try:
        log("two\nlines", 5, "\ud800")
    finally:
        current.reset(trace)
        current_call.reset(token)

    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert datetime.fromisoformat(told.pop("timestamp")).utcoffset() == timedelta(0)
    assert told == {
        "line": "two\nlines 5 \ud800",
        "task": "mine",
        "request_id": "order-7",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "event": "task log",
        "level": "info",
    }
    assert heard == []
