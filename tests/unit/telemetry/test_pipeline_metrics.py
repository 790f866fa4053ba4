"""Counts of a run are what has come about since it told last."""

from dataclasses import dataclass

from service.telemetry.metrics import pipelines
from service.telemetry.metrics.pipelines import RunMetrics
from service.telemetry.metrics.registry import REGISTRY


@dataclass
class Stage:
    name: str = "work"
    items_in: int = 0
    items_out: int = 0
    skipped: int = 0
    busy: float = 0.0
    waiting_input: float = 0.0
    waiting_output: float = 0.0
    waiting_slot: float = 0.0
    waiting_turn: float = 0.0


def items(pipeline: str, direction: str, stage: str = "work") -> float | None:
    labels = {"role": "web", "pipeline": pipeline, "stage": stage, "direction": direction}
    return REGISTRY.get_sample_value("everycore_pipeline_stage_items_total", labels)


def seconds(pipeline: str, activity: str, stage: str = "work") -> float | None:
    labels = {"role": "web", "pipeline": pipeline, "stage": stage, "activity": activity}
    return REGISTRY.get_sample_value("everycore_pipeline_stage_seconds_total", labels)


def test_what_was_told_already_is_not_told_again():
    run = RunMetrics("told")

    run.tell([Stage(items_in=3, items_out=2, busy=0.5)])
    run.tell([Stage(items_in=3, items_out=2, busy=0.5)])
    run.tell([Stage(items_in=5, items_out=4, skipped=1, busy=0.75, waiting_turn=0.25)])

    assert [items("told", way) for way in ("in", "out", "skipped")] == [5, 4, 1]
    assert (seconds("told", "busy"), seconds("told", "waiting_turn")) == (0.75, 0.25)
    assert seconds("told", "waiting_slot") is None


def test_runs_and_stages_add_up():
    for _ in range(2):
        run = RunMetrics("twice")
        run.tell([Stage(items_in=3), Stage("other", items_in=1)])
        run.ended("succeeded")

    assert (items("twice", "in"), items("twice", "in", "other")) == (6, 2)
    labels = {"role": "web", "pipeline": "twice", "outcome": "succeeded"}
    assert REGISTRY.get_sample_value("everycore_pipeline_runs_total", labels) == 2


def test_a_number_that_falls_takes_nothing_away():
    """Seconds of what goes on are an estimate of the moment."""
    run = RunMetrics("falls")

    run.tell([Stage(busy=1.0)])
    run.tell([Stage(busy=0.5)])
    run.tell([Stage(busy=1.25)])

    assert seconds("falls", "busy") == 1.25


def test_it_is_due_once_a_second():
    run = RunMetrics("due")
    assert not run.is_due

    run._tell_at -= pipelines.PERIOD
    assert run.is_due
    run.tell([])
    assert not run.is_due
