"""Figures of job queues: medians, high percentiles, ratios within a turn, and who could not be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests import jobs_report
from loadtests.jobs_contenders import NAMES, PEERS
from loadtests.jobs_queue import Contender
from loadtests.jobs_report import FIGURES, GOALS, Figure, Goal

DISK = {"kind": "ext4", "fsyncs": 1000}


def nothing(folder: Path):
    raise AssertionError("a report opens no queue")


def report_of(samples, lacking=None, disk=None):
    contenders = [Contender(name, "SQLite FULL", 2, nothing) for name in samples]
    return jobs_report.document(contenders, samples, {"turns": 3}, disk or DISK, lacking or {})


def test_a_rate_is_the_median_over_the_turns():
    results = report_of({"everycore": {"completed": [900.0, 5000.0, 1200.0]}})["contenders"]["everycore"]

    assert results["results"] == {"completed": 1200.0}
    assert results["samples"] == {"completed": [900.0, 5000.0, 1200.0]}


def test_times_of_all_turns_are_taken_together():
    milliseconds = [float(number) for number in range(1, 201)]

    results = report_of({"huey": {"start": milliseconds}})["contenders"]["huey"]["results"]

    assert results == {"start_p50": 100.5, "start_p99": 198.0}


def test_what_was_not_measured_has_no_figure():
    assert Figure("completed", "", "jobs/s").value([]) is None


def test_ratios_are_taken_within_a_turn():
    samples = {"everycore": {"completed": [20.0, 300.0, 40.0]}, "rq": {"completed": [10.0, 100.0, 40.0]}}

    assert Goal("completed", "", at_least=1, against="rq").value(samples) == 2.0


@pytest.mark.parametrize(
    ("key", "value", "reached"),
    [("together", 500.0, True), ("together", 499.9, False), ("start", 20.0, True), ("start", 20.1, False)],
)
def test_goals_are_judged(key, value, reached):
    goals = report_of({"everycore": {key: [value]}})["goals"]

    judged = [goal["reached"] for goal in goals if goal["value"] is not None]
    assert judged == [reached]


def test_a_goal_against_who_is_not_there_is_neither_reached_nor_missed():
    goals = report_of({"everycore": {"completed": [2000.0]}})["goals"]

    assert [goal["reached"] for goal in goals if goal["unit"].startswith("x ")] == [None] * len(PEERS)


def test_the_goals_of_the_issue_are_there():
    limits = {(goal.contender, goal.key, goal.against): goal.limit for goal in GOALS}

    assert limits == {
        ("everycore", "together", ""): ">= 500",
        ("everycore", "batches_10000", ""): ">= 10000",
        ("everycore", "completed", ""): ">= 1000",
        ("everycore-1", "completed", ""): ">= 1000",
        ("everycore", "start", ""): "<= 20",
        ("everycore-1", "start", ""): "<= 20",
        ("everycore", "completed", "huey"): ">= 1",
        ("everycore", "completed", "rq"): ">= 1",
        ("everycore", "completed", "rq-simple"): ">= 1",
        ("everycore", "completed", "celery"): ">= 1",
    }


def test_goals_are_about_what_is_measured():
    assert {goal.key for goal in GOALS} <= {figure.key for figure in FIGURES}
    assert {goal.contender for goal in GOALS} <= set(NAMES)


def test_no_figure_is_there_twice():
    names = [figure.name for figure in FIGURES]

    assert len(names) == len(set(names))


def test_the_table_has_a_column_for_each_and_a_row_for_what_somebody_has():
    samples = {"everycore": {"together": [700.0], "start": [4.0]}, "huey": {"start": [40.0]}}
    table = jobs_report.text(report_of(samples))
    rows = {line.split("  ")[0]: line.split("  ")[1:] for line in table.splitlines()}

    assert [cell.strip() for cell in rows["accepted one by one, 16 clients"] if cell] == [
        "jobs/s",
        "700",
        "-",
    ]
    assert rows["low load: accepted to start of the task, p50"][-1].strip() == "40"
    assert "accepted in batches of 1000" not in rows
    assert table.count("reached") + table.count("MISSED") + table.count("not measured") == len(GOALS)


def test_the_table_says_who_was_left_out_and_why():
    table = jobs_report.text(report_of({"everycore": {}}, lacking={"celery": "Redis is not installed"}))

    assert "left out: celery: Redis is not installed" in table.splitlines()


@pytest.mark.parametrize(("kind", "warned"), [("ext4", False), ("tmpfs", True)])
def test_stores_that_are_not_on_a_disk_are_pointed_out(kind, warned):
    table = jobs_report.text(report_of({}, disk={"kind": kind, "fsyncs": 1000}))

    assert f"stores on {kind}, 1000 writes with fsync a second" in table
    assert ("NOTHING IS DURABLE" in table) is warned
