"""The benchmark of the engine measures what it says, and only right answers; no figure is judged here."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loadtests import bench_tasks, engine_report, engine_turns
from loadtests.bench_engine import main
from loadtests.engine_peer import Peer
from loadtests.engine_plan import Plan, Samples
from tests.unit.loadtests.alone import run_alone

PEERS = ["raw pipe", "everycore", "concurrent.futures", "mp.Pool"]

# In a process of its own, for the standard fork server stays until the one that started it ends.
SMALL_RUN = f"""
import json
from loadtests.bench_engine import run
from loadtests.engine_plan import Plan
few = dict(rounds=2, fresh_rounds=1, calls=4, items=20, fan_outs=1, small_arrays=1, kills=1)
plan = Plan(**few, chunked_items=200, large=1)
print(json.dumps(run({PEERS!r}, plan)))
"""


@pytest.fixture(scope="module")
def report():
    return json.loads(run_alone(SMALL_RUN))


def test_every_figure_is_measured_for_every_peer_that_has_it(report):
    missing = {
        name: {key for key in report["figures"] if key not in peer["results"]}
        for name, peer in report["peers"].items()
    }

    deadlines = {"overrun_python", "overrun_c"}
    assert missing == {
        "raw pipe": deadlines | {"map_in_chunks"},
        "everycore": {"map_in_chunks"},
        "concurrent.futures": deadlines,
        "mp.Pool": deadlines,
    }


def test_figures_have_their_spread_and_their_samples(report):
    for peer in report["peers"].values():
        round_trip = peer["results"]["round_trip_p50"]

        assert 0 < round_trip["q1"] <= round_trip["value"] <= round_trip["q3"]
        assert len(round_trip["samples"]) == 2


def test_a_death_is_its_own_calls_only(report):
    results = report["peers"]["everycore"]["results"]

    assert results["killed_call"]["value"] == "failed"
    assert results["neighbours"]["value"] == "answered"


def test_every_goal_is_judged(report):
    assert len(report["goals"]) == len(engine_report.GOALS)
    assert all(goal["reached"] == (goal["value"] <= goal["limit"]) for goal in report["goals"])


def test_the_table_has_a_row_for_each_figure_and_each_goal(report):
    table = engine_report.text(report)

    assert all(name in table for name in PEERS)
    assert all(figure["label"] in table for figure in report["figures"].values())
    assert table.count("reached") + table.count("MISSED") == len(report["goals"])


def test_a_goal_against_a_peer_that_is_not_there_is_not_judged():
    samples: Samples = {"everycore": {"round_trip_p50": [40.0]}}

    goals = engine_report.document(samples, Plan(), {"processes": 2})["goals"]

    assert [goal["reached"] for goal in goals] == [None] * len(goals)


def test_ratios_are_taken_within_a_round():
    samples: Samples = {
        "everycore": {"round_trip_p50": [2.0, 30.0, 4.0]},
        "raw pipe": {"round_trip_p50": [1.0, 10.0, 4.0]},
    }

    assert engine_report.Goal("round_trip_p50", 2.0, "raw pipe").value(samples) == 2.0


class Wrong(Peer):
    """Answers, but not what was asked."""

    name = "wrong"
    chunks_by_itself = takes_chunksize = True

    def call(self, function, value, patience=0.0):
        return function(value)[1:] if function is bench_tasks.echo else function(value) + 1

    def map(self, function, values):
        return [function(value) for value in values][1:]

    def map_in_chunks(self, function, values, size):
        return self.map(function, values)

    def fan_out(self, function, values):
        return self.map(function, values)


@pytest.mark.parametrize("measure", engine_turns.MEASURES, ids=lambda measure: measure.__name__)
def test_a_wrong_answer_is_no_measurement(measure):
    with pytest.raises(engine_turns.WrongAnswer):
        measure(Wrong(1), Plan(calls=2, items=2, chunked_items=2, large=1))


def test_help_says_how_to_run_it_quickly():
    assert "--quick" in CliRunner().invoke(main, ["--help"]).output
