"""What ``bench_capacity`` predicts, and how it prints that beside what was measured."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from unittest.mock import create_autospec

import pytest

from loadtests import bench_capacity, capacity_levels, http_traffic
from loadtests.capacity_levels import Cost, Level
from loadtests.http_answers import Answer, Recording, TrafficFailed
from loadtests.http_capacity import Work
from loadtests.http_servers import Server
from loadtests.http_traffic import Traffic

COST = Cost(latency=0.032, service_cpu=0.030, generator_cpu=0.002, cpus=2)


def answer(sent: float, seconds: float, *, right: bool = True, status: int = 200) -> Answer:
    return Answer(0, sent, seconds, status, right, None)


def test_the_capacity_is_what_keeps_the_cpus_busy():
    assert COST.capacity == pytest.approx(2 / 0.032)


def test_moments_come_at_random_and_as_often_as_they_should():
    moments = capacity_levels.poisson(50.0, 200.0, random.Random(3))

    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert list(moments) == sorted(moments)
    assert moments[-1] < 200.0
    assert len(moments) == pytest.approx(10_000, rel=0.03)
    # Of an exponential distribution 1 - 1/e are shorter than the mean.
    assert sum(gap < 0.02 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)
    assert moments == capacity_levels.poisson(50.0, 200.0, random.Random(3))


def test_at_low_load_nobody_waits_and_beyond_the_capacity_the_queue_grows():
    quiet = capacity_levels.predicted(COST, 0.05 * COST.capacity)
    busy = capacity_levels.predicted(COST, 0.9 * COST.capacity)
    over = capacity_levels.predicted(COST, 1.1 * COST.capacity)

    assert quiet == {"p50": pytest.approx(32.0), "p95": pytest.approx(32.0)}
    assert 32.0 < busy["p50"] < busy["p95"] < 1000
    assert over["p95"] == float("inf")


def test_moments_survive_their_way_to_locust(tmp_path):
    server = Server(create_autospec("process"), "mark", 4321, tmp_path / "log")
    stream = capacity_levels.stream(server, Work(400, 12345), 20.0, (0.1, 0.25, 0.3))
    traffic = Traffic((stream,), seconds=2.0)

    read = http_traffic.read(json.dumps(dataclasses.asdict(traffic)))

    assert read == traffic
    assert read.streams[0].arrivals == (0.1, 0.25, 0.3)


class TestMeasured:
    def answers(self, tmp_path, *answers: Answer) -> Recording:
        server = Server(create_autospec("process"), "mark", 4321, tmp_path / "log")
        stream = capacity_levels.stream(server, Work(400, 12345), 20.0, ())
        return Recording(Traffic((stream,), seconds=2.0, warm=1.0), answers, generator_cpu=0.1)

    def test_right_answers_count_when_they_are_sent_and_the_rate_when_they_are_there(self, tmp_path):
        early = [answer(0.9, 0.2)] * 5
        within = [answer(1.5, 0.1 * number) for number in range(1, 21)]
        refused = [answer(1.5, 0.01, right=False, status=503)] * 3

        found = capacity_levels.measured(self.answers(tmp_path, *early, *within, *refused))

        assert found["p50"] == pytest.approx(1000)
        assert found["p95"] == pytest.approx(1900)
        # 5 that began before, and the 14 that were there by 3.0.
        assert found["rate"] == pytest.approx(19 / 2)

    def test_wrong_answers_and_too_few_tell_nothing(self, tmp_path):
        right = [answer(1.5, 0.1)] * 30
        wrong = answer(1.5, 0.1, right=False)

        with pytest.raises(TrafficFailed, match="1 wrong"):
            capacity_levels.measured(self.answers(tmp_path, *right, wrong))
        with pytest.raises(TrafficFailed, match="19 right"):
            capacity_levels.measured(self.answers(tmp_path, *right[:19]))


def test_the_table_has_a_row_for_each_rate():
    figures = {"p50": 40.0, "p95": 90.0, "rate": 50.0}
    over = {"p50": float("inf"), "p95": float("inf"), "rate": 62.5}
    levels = [
        Level(0.8, 50.3, figures, figures, figures, refused=0, generator_cpu=0.07, others_cpu=0.0),
        Level(1.1, 68.8, over, figures, figures, refused=4, generator_cpu=0.1, others_cpu=0.5),
    ]
    report = {
        "machine": {"cpus": 2, "cpu": "some", "system": "Linux"},
        "versions": {"python": "3"},
        "options": {"seconds": 10.0},
        "cost": dataclasses.asdict(COST) | {"capacity": COST.capacity},
        "levels": [bench_capacity.finite(dataclasses.asdict(level)) for level in levels],
    }

    lines = bench_capacity.text(report).splitlines()

    assert "32.0 ms alone" in lines[3]
    assert "62.5 requests/s" in lines[3]
    cells = [" ".join(line.split()) for line in lines]
    assert cells[-2] == "80% 50.3 50.0 50.0 40.0 40.0 40.0 90.0 90.0 90.0 0 0.07 0.00"
    assert cells[-1] == "110% 68.8 62.5 50.0 grows 40.0 40.0 grows 90.0 90.0 4 0.10 0.50"
