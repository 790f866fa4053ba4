"""Figures over HTTP beside their limits."""

from __future__ import annotations

import json

import pytest

from loadtests import bench_http, bench_overload, http_report
from loadtests.http_report import Figure, Samples

FIGURES = (
    Figure("fast", "how fast", "ms", at_most=50),
    Figure("much", "how much", "x", at_least=0.9),
    Figure("plain", "no goal", "MB"),
)


def judged(samples: Samples):
    report = http_report.document(FIGURES, samples, {"turns": 3})
    return {figure["key"]: figure for figure in report["figures"]}


@pytest.mark.parametrize(("value", "reached"), [(49.9, True), (50.0, True), (50.1, False)])
def test_a_limit_from_above_is_reached_at_or_below_it(value, reached):
    assert judged({"fast": [value]})["fast"]["reached"] is reached


@pytest.mark.parametrize(("value", "reached"), [(0.89, False), (0.9, True), (1.5, True)])
def test_a_limit_from_below_is_reached_at_or_above_it(value, reached):
    assert judged({"much": [value]})["much"]["reached"] is reached


def test_the_median_over_turns_is_judged_and_the_samples_are_kept():
    fast = judged({"fast": [10.0, 500.0, 20.0]})["fast"]

    assert (fast["value"], fast["reached"]) == (20.0, True)
    assert fast["samples"] == [10.0, 500.0, 20.0]


def test_what_was_not_measured_is_neither_reached_nor_missed():
    assert judged({})["fast"]["reached"] is None
    assert judged({})["fast"]["value"] is None


def test_what_has_no_goal_is_not_judged():
    plain = judged({"plain": [3.0]})["plain"]

    assert plain["limit"] is None
    assert plain["reached"] is None


def test_figures_of_turns_are_collected():
    samples: Samples = {}

    http_report.add(samples, {"a": 1.0})
    http_report.add(samples, {"a": 2.0, "b": 3.0})

    assert samples == {"a": [1.0, 2.0], "b": [3.0]}


def test_the_table_has_goal_limit_and_what_was_measured():
    report = http_report.document(FIGURES, {"fast": [70.0], "plain": [3.0]}, {"turns": 1})
    lines = {line.split("  ")[0]: line for line in http_report.text(report).splitlines()}

    assert lines["how fast"].split()[2:] == ["ms", "70", "70", "70", "<=", "50", "MISSED"]
    assert lines["how much"].endswith(">= 0.9  not measured")
    assert lines["no goal"].split()[2:] == ["MB", "3", "3", "3"]


def test_the_document_is_written_where_it_was_asked_for(tmp_path, capsys):
    path = tmp_path / "folder" / "figures.json"
    report = http_report.document(FIGURES, {"fast": [7.0]}, {"turns": 1})

    http_report.publish(report, path)

    assert json.loads(path.read_text()) == report
    assert f"written: {path}" in capsys.readouterr().out


@pytest.mark.parametrize("figures", [bench_http.FIGURES, bench_overload.FIGURES])
def test_no_figure_is_there_twice(figures):
    keys = [figure.key for figure in figures]

    assert len(keys) == len(set(keys))


def test_the_goals_of_the_design_are_there():
    figures = {figure.key: figure for figure in (*bench_http.FIGURES, *bench_overload.FIGURES)}
    limits = {key: figure.limit for key, figure in figures.items() if figure.limit}

    assert limits == {
        "noop_to_empty": ">= 0.6",
        "fan_out_to_pattern": ">= 20",
        "fan_out_to_kept": ">= 1.3",
        "served_to_cores": ">= 0.95",
        "health_p99": "<= 50",
        "goodput_to_capacity": ">= 0.9",
        "refusal_p50": "<= 20",
        "refusal_p99": "<= 20",
        "retry_after": ">= 100",
        "probe_p99": "<= 50",
        "other": "<= 0",
    }
