"""The benchmark of pipelines measures what it says, and only right answers; no figure is judged here."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loadtests import pipelines_costs, pipelines_report, pipelines_tasks, pipelines_throughput
from loadtests.bench_pipelines import main
from loadtests.pipelines_cases import WrongAnswer, cases, expect
from loadtests.pipelines_plan import Plan
from loadtests.pipelines_tasks import Load
from loadtests.pipelines_ways import ALONE, BY_HAND, MAP, ONE_TASK, PIPELINE, Bench, Engines
from service.pipelines.run import Item
from tests.unit.loadtests.alone import run_alone

FEW = Plan(
    turns=1,
    slow_items=4,
    noops=40,
    starts=2,
    arrays=3,
    queued_arrays=2,
    megabytes=1,
    together=6,
)

# In a process of its own, for it takes signals to itself and forks.
SMALL_RUN = f"""
import json
from loadtests.bench_pipelines import run
from loadtests.pipelines_plan import Plan
print(json.dumps(run({FEW!r})))
"""


@pytest.fixture(scope="module")
def report():
    return json.loads(run_alone(SMALL_RUN))


def test_a_pipeline_has_every_figure_and_every_figure_is_compared(report):
    figures = {way: set(results) for way, results in report["ways"].items()}

    assert figures[PIPELINE] == set(report["figures"])
    compared = set().union(*(figures[way] for way in (BY_HAND, ALONE, MAP, ONE_TASK)))
    assert figures[PIPELINE] - compared == {"burn_busy", "wait_busy", "first_warm", "first_grown"}


def test_figures_have_their_spread_and_a_sample_a_turn(report):
    for results in report["ways"].values():
        for figure in results.values():
            assert figure["q1"] <= figure["value"] <= figure["q3"]
            assert len(figure["samples"]) == FEW.turns


def test_every_goal_is_judged(report):
    assert [goal["reached"] is not None for goal in report["goals"]] == [True] * len(pipelines_report.GOALS)


def test_the_table_has_every_figure_and_every_way(report):
    table = pipelines_report.text(report)

    assert all(figure["label"] in table for figure in report["figures"].values())
    assert all(way in table for way in report["ways"])


def test_a_goal_beside_another_way_is_the_median_of_the_ratios_within_each_turn():
    goal = next(goal for goal in pipelines_report.GOALS if goal.key == "burn")
    samples = {PIPELINE: {"burn": [9.0, 50.0, 40.0]}, ALONE: {"burn": [10.0, 100.0, 50.0]}}

    assert goal.value(samples) == 0.8
    assert not goal.reached(0.8)
    assert goal.reached(0.9)


def test_a_goal_that_was_not_measured_has_no_value():
    assert [goal.value({}) for goal in pipelines_report.GOALS] == [None] * len(pipelines_report.GOALS)


@pytest.mark.parametrize("name", ["burn", "wait", "mixed", "even_10"])
def test_the_answers_are_what_the_functions_return(name):
    case = cases(FEW, rounds=1.0)[name]
    stages = "bench.even" if name == "even_10" else f"bench.{name}"

    results = pipelines_tasks.all_through(stages, case.items)

    expect([load.value for load in results], case.answers)


def test_the_heavy_stage_alone_has_answers_of_its_own():
    case = cases(FEW, rounds=1.0)["burn"]

    expect([pipelines_tasks.burn_heavily(load).value for load in case.items], case.alone)


@pytest.mark.parametrize("results", [[1, 2], [1, 2, 4], [2, 1, 3], [1, 2, 3, 4]])
def test_other_answers_are_no_measurement(results):
    with pytest.raises(WrongAnswer, match="the 3 that there should be"):
        expect(results, [1, 2, 3])


class Wrong(Engines):
    """Returns one result, and not the right one, whatever is asked for."""

    def __init__(self):
        """Start nothing."""

    def pipeline(self, name, **args):
        return iter([Item(0, Load(-1))])

    def alone(self, task, items, width):
        return iter([Load(-1)])

    def map(self, stages, items):
        return iter([Load(-1)])

    def one_task(self, stages, items):
        return iter([Load(-1)])


ANSWERED_BY_ENGINES = [
    *(
        measure
        for comparison in pipelines_throughput.COMPARISONS
        for way, measure in comparison.items()
        if way != BY_HAND
    ),
    pipelines_costs.no_ops,
    pipelines_costs.arrays,
]


@pytest.mark.parametrize("measure", ANSWERED_BY_ENGINES)
def test_a_way_that_returns_something_else_is_not_measured(measure):
    with pytest.raises(WrongAnswer):
        measure(Bench(Wrong(), FEW, cases(FEW, rounds=1.0)))


def test_help_says_how_to_run_it_quickly():
    assert "--quick" in CliRunner().invoke(main, ["--help"]).output
