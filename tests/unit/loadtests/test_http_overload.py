"""What is said of a flood, and what a flood is made of."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

from loadtests import http_overload
from loadtests.http_answers import Answer, Recording, TrafficFailed
from loadtests.http_capacity import Work
from loadtests.http_overload import DEADLINE, PATIENCE
from loadtests.http_servers import Server
from loadtests.http_traffic import Traffic

WORK = Work(rounds=400, result=12345)


@pytest.fixture
def server(tmp_path: Path):
    return Server(create_autospec("process"), "mark", 4321, tmp_path / "log")


def judged(calls, server, probes=()):
    """Judge answers to calls, each (seconds, status, right, Retry-After), and to quick probes."""
    streams = http_overload.flood(server, WORK, 80.0, deadline=1.0)
    answers = [Answer(0, 1.5, *call) for call in calls]
    answers += [Answer(1, 1.5, *probe) for probe in probes or [(0.004, 200, True, None)] * 5]
    traffic = Traffic(tuple(streams), seconds=2.0, warm=1.0)
    return http_overload.judged(Recording(traffic, tuple(answers), generator_cpu=0.2))


GOOD = (0.2, 200, True, None)
REFUSED = (0.01, 503, False, "1")


def test_a_good_answer_is_right_and_in_time(server):
    late = (DEADLINE + 0.1, 200, True, None)

    figures = judged([GOOD] * 6 + [late] * 2 + [REFUSED] * 8, server)

    assert figures["offered"] == 8.0
    assert figures["goodput"] == 3.0
    assert figures["ok"] == 50.0


def test_each_way_to_end_has_its_share(server):
    expired, hung_up, strange = (1.0, 504, False, None), (2.5, 0, False, None), (0.1, 500, False, None)

    figures = judged([GOOD] * 4 + [REFUSED] * 3 + [expired] * 2 + [hung_up] * 0 + [strange], server)

    shares = {name: figures[name] for name in ("ok", "refused", "expired", "no_answer", "other")}
    assert shares == {"ok": 40.0, "refused": 30.0, "expired": 20.0, "no_answer": 0.0, "other": 10.0}


def test_refusals_are_timed_and_should_say_when_to_come_back(server):
    slow = (0.5, 503, False, None)

    figures = judged([REFUSED] * 9 + [slow], server)

    assert figures["refusal_p50"] == pytest.approx(10.0)
    assert figures["refusal_p99"] == pytest.approx(500.0)
    assert figures["retry_after"] == pytest.approx(90.0)


def test_nothing_is_said_of_refusals_or_good_answers_that_were_not_there(server):
    figures = judged([(1.0, 504, False, None)] * 5, server)

    assert figures["goodput"] == 0.0
    assert not {"refusal_p50", "refusal_p99", "retry_after", "good_p99"} & figures.keys()


def test_a_probe_without_an_answer_counts_by_how_long_it_waited(server):
    figures = judged([GOOD] * 5, server, [(0.004, 200, True, None)] * 9 + [(PATIENCE, 0, False, None)])

    assert figures["probe_p99"] == pytest.approx(1000 * PATIENCE)
    assert figures["probes_failed"] == pytest.approx(10.0)


def test_a_wrong_result_ends_the_run(server):
    with pytest.raises(TrafficFailed, match="wrong"):
        judged([GOOD] * 5 + [(0.2, 200, False, None)], server)


def test_too_few_answers_end_the_run(server):
    with pytest.raises(TrafficFailed, match="too few"):
        judged([GOOD] * 4, server)


def test_a_user_is_back_before_it_is_its_turn_again(server):
    for stream in http_overload.flood(server, WORK, 80.0, deadline=None):
        assert stream.users / stream.rate >= stream.patience


def test_calls_say_their_deadline_where_they_have_one(server):
    with_deadline, _ = http_overload.flood(server, WORK, 80.0, deadline=1.0)
    without, _ = http_overload.flood(server, WORK, 80.0, deadline=None)

    assert with_deadline.headers["Request-Timeout"] == "1"
    assert "Request-Timeout" not in without.headers


def test_the_samples_pattern_gets_the_same_work_in_four_parts(server):
    calls, probes = http_overload.flood_of_pattern(server, WORK.rounds, 7, 80.0)

    assert (calls.path, calls.contains) == ("/burn?rounds=400", '"results":[7,7,7,7]')
    assert probes.path == "/empty"
