"""A map's answer counts only when it is complete and right, and memory is what a process really took."""

from __future__ import annotations

import json

import psutil
import pytest

from loadtests import http_map
from loadtests.http_answers import TrafficFailed
from loadtests.http_map import JSON, NDJSON


def entries(*indexes):
    return [{"index": index, "result": None} for index in indexes]


def as_json(entries, succeeded):
    return json.dumps({"task": "noop", "results": entries, "summary": {"succeeded": succeeded}}).encode()


def as_lines(entries, *last):
    return b"".join(json.dumps(line).encode() + b"\n" for line in (*entries, *last))


def test_a_complete_answer_passes():
    http_map.check(as_json(entries(0, 1, 2), 3), 3, JSON)


def test_lines_may_come_in_any_order():
    http_map.check(as_lines(entries(2, 0, 1), {"summary": {"succeeded": 3}}), 3, NDJSON)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(as_json(entries(0, 1), 2), id="one is missing"),
        pytest.param(as_json(entries(0, 2, 1), 3), id="out of order"),
        pytest.param(as_json(entries(0, 1, 1), 3), id="one is there twice"),
        pytest.param(as_json([*entries(0, 1), {"index": 2, "error": {}}], 2), id="one failed"),
        pytest.param(as_json(entries(0, 1, 2), 2), id="the summary says otherwise"),
    ],
)
def test_an_answer_that_is_not_complete_is_no_measurement(body):
    with pytest.raises(TrafficFailed):
        http_map.check(body, 3, JSON)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(as_lines(entries(0, 1, 2)), id="no summary"),
        pytest.param(as_lines(entries(0, 1), {"error": {"status": 504}}), id="breaks off"),
        pytest.param(as_lines(entries(0, 1), {"summary": {"succeeded": 3}}), id="one is missing"),
    ],
)
def test_lines_that_are_not_complete_are_no_measurement(body):
    with pytest.raises(TrafficFailed):
        http_map.check(body, 3, NDJSON)


def test_memory_that_was_taken_for_a_moment_is_noticed():
    figures = http_map.memory_during(psutil.Process(), lambda: len(bytearray(b"x") * 64_000_000))

    assert figures["rss_growth"] == pytest.approx(64, rel=0.3)
    assert figures["pss_before"] <= figures["pss_peak"]
