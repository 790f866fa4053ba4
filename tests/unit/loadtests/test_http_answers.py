"""What is asked of a server survives its way to Locust, and what came back is counted as it should be."""

from __future__ import annotations

import dataclasses
import json

import pytest

from loadtests import http_answers, http_traffic
from loadtests.http_answers import Answer, Recording, TrafficFailed, percentile
from loadtests.http_traffic import Stream, Traffic

CALLS = Stream("calls", "http://127.0.0.1:1", "/calls", "right", "POST", "{}", {"A": "b"}, users=2)
PROBES = Stream("probes", "http://127.0.0.1:1", "/probes", "ok", rate=10.0)
TRAFFIC = Traffic((CALLS, PROBES), seconds=10.0, warm=2.0, tail=1.0)


def answer(sent, seconds=0.5, *, stream=0, status=200, right=True, retry_after=None):
    return Answer(stream, sent, seconds, status, right, retry_after)


def recording(*answers):
    return Recording(TRAFFIC, answers, generator_cpu=0.1)


def test_traffic_is_read_as_it_was_written():
    assert http_traffic.read(json.dumps(dataclasses.asdict(TRAFFIC))) == TRAFFIC


def test_traffic_takes_its_three_phases():
    assert TRAFFIC.total == 13.0


def test_answers_are_read_as_locust_writes_them():
    written = {"answers": [answer(1.0), answer(2.0, status=503, right=False, retry_after="1")]}
    text = json.dumps(written | {"generator_cpu": 0.25})

    read = http_answers.read(TRAFFIC, text)

    assert list(read.answers) == written["answers"]
    assert read.answers[1].retry_after == "1"
    assert read.generator_cpu == 0.25


def test_streams_are_kept_apart():
    both = recording(answer(3.0), answer(4.0, stream=1))

    assert both.of("calls") == [answer(3.0)]
    assert both.of("probes") == [answer(4.0, stream=1)]


def test_a_request_counts_when_it_was_sent_while_it_was_looked():
    times = [1.9, 2.0, 11.9, 12.0]

    found = recording(*map(answer, times)).sent_in_time("calls")

    assert [each.sent for each in found] == [2.0, 11.9]


@pytest.mark.parametrize(
    ("sent", "seconds", "share"),
    [
        pytest.param(5.0, 1.0, 1.0, id="within"),
        pytest.param(1.0, 2.0, 0.5, id="over the beginning"),
        pytest.param(11.0, 4.0, 0.25, id="over the end"),
        pytest.param(0.0, 20.0, 0.5, id="over both"),
        pytest.param(0.0, 1.0, 0.0, id="before"),
        pytest.param(12.5, 0.1, 0.0, id="after"),
    ],
)
def test_a_request_counts_by_its_part_within(sent, seconds, share):
    assert recording(answer(sent, seconds)).rate("calls") == pytest.approx(share / TRAFFIC.seconds)


def test_the_rate_of_one_who_asks_again_at_once_is_one_by_the_time_it_takes():
    back_to_back = [answer(0.3 * number, 0.3) for number in range(43)]

    assert recording(*back_to_back).rate("calls") == pytest.approx(1 / 0.3)


@pytest.mark.parametrize("wrong", [answer(3.0, right=False), answer(3.0, status=500, right=False)])
def test_a_wrong_answer_is_no_measurement(wrong):
    with pytest.raises(TrafficFailed, match="1 of 6 answers are wrong"):
        recording(*map(answer, range(5)), wrong).check("calls")


def test_users_that_ask_nothing_are_noticed():
    with pytest.raises(TrafficFailed, match="too few"):
        recording(*map(answer, range(4))).check("calls")
    with pytest.raises(TrafficFailed, match="too few"):
        recording().check("probes")


def test_enough_right_answers_pass():
    recording(*map(answer, range(5))).check("calls")


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile(reversed(range(1, 101)), share) == value


def test_the_percentile_of_one_value_is_that_value():
    assert percentile([7.0], 0.99) == 7.0
