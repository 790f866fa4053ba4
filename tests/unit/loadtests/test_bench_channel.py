"""The benchmark of channels measures what it says, and only right answers; no figure is judged here."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loadtests import channel_report
from loadtests.bench_channel import main
from loadtests.channel_peers import BoundedQueue, Channel, UnboundedQueue
from loadtests.channel_plan import Plan, Samples
from loadtests.channel_workers import put_small
from tests.unit.loadtests.alone import run_alone

PEERS = ["channel", "put_many", "Queue(n)", "raw pipe"]

# In a process of its own, for the standard fork server stays until the one that started it ends.
SMALL_RUN = f"""
import json
from loadtests.bench_channel import run
from loadtests.channel_plan import Plan
plan = Plan(rounds=2, items=300, middle_arrays=20, large_arrays=3, large=1, patience=1.5)
print(json.dumps(run({PEERS!r}, plan)))
"""

WRONG_RUN = """
from loadtests import channel_turns, channel_workers
from loadtests.channel_peers import Channel
from tests.unit.loadtests import test_bench_channel as writers
try:
    channel_turns.timed(Channel(8), writers.{writer}, (10,), channel_workers.take_small)
except channel_turns.WrongAnswer:
    print("wrong")
"""


def put_right(end, count):
    return put_small(end, count)


def put_one_less(end, count):
    return put_small(end, count - 1)


def put_one_twice(end, count):
    end.put_all([(3, "an item", 0.5)])
    return put_small(end, count)


@pytest.fixture(scope="module")
def report():
    return json.loads(run_alone(SMALL_RUN))


def test_every_figure_is_measured_for_every_peer_that_has_it(report):
    missing = {name: set(report["figures"]) - set(results) for name, results in report["peers"].items()}

    assert missing == {
        "channel": set(),
        "put_many": set(),
        "Queue(n)": set(),
        "raw pipe": {"small_several", "reader_killed", "writer_killed"},
    }


def test_figures_have_their_spread_and_their_samples(report):
    for results in report["peers"].values():
        small = results["small_few"]

        assert 0 < small["q1"] <= small["value"] <= small["q3"]
        assert len(small["samples"]) == 2


def test_a_death_blocks_a_queue_with_locks_and_no_channel(report):
    deaths = ["reader_killed", "writer_killed", "last_writer_killed"]
    words = {
        name: [report["peers"][name][death]["value"] for death in deaths] for name in ("channel", "Queue(n)")
    }

    assert words == {
        "channel": ["goes on", "goes on", "told"],
        "Queue(n)": ["blocked", "blocked", "never told"],
    }


def test_every_goal_is_judged_whose_peers_were_measured(report):
    judged = [goal for goal in report["goals"] if goal["against"] == BoundedQueue.name]

    assert len(judged) == 3
    assert all(goal["reached"] == (goal["value"] >= float(goal["limit"][3:])) for goal in judged)
    others = [goal for goal in report["goals"] if goal["against"] == UnboundedQueue.name]
    assert [goal["reached"] for goal in others] == [None] * len(others)


def test_the_table_has_a_row_for_each_figure_and_each_goal(report):
    table = channel_report.text(report)

    assert all(name in table for name in PEERS)
    assert all(figure["label"] in table for figure in report["figures"].values())
    assert sum(map(table.count, ("reached", "MISSED", "not measured"))) == len(report["goals"])


def test_ratios_are_taken_within_a_round():
    samples: Samples = {
        Channel.name: {"small_few": [20.0, 30.0, 40.0]},
        BoundedQueue.name: {"small_few": [10.0, 3.0, 10.0]},
    }
    goals = channel_report.document(samples, Plan(), {})["goals"]

    assert [goal["value"] for goal in goals] == [4.0, None, None, None, None]


@pytest.mark.parametrize("writer", [put_right, put_one_less, put_one_twice])
def test_a_wrong_answer_is_no_measurement(writer):
    said = run_alone(WRONG_RUN.format(writer=writer.__name__))
    assert said == ("" if writer is put_right else "wrong\n")


def test_help_says_how_to_run_it_quickly():
    assert "--quick" in CliRunner().invoke(main, ["--help"]).output
