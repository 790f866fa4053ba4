"""What is counted of a run is what its report says, whatever way it ends."""

from __future__ import annotations

import contextlib
import time

import pytest

from service.errors import EverycoreError
from service.pipelines.report import StageReport
from service.telemetry.metrics.registry import REGISTRY
from tests.integration.pipelines.conftest import Pipes, wait_until

STAGES = {"items": "direction", "seconds": "activity"}


def runs(pipeline: str) -> dict[str, float]:
    """Return how many runs of a pipeline ended, by outcome."""
    return {
        sample.labels["outcome"]: sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "everycore_pipeline_runs_total" and sample.labels["pipeline"] == pipeline
    }


def counted(pipeline: str, stage: str, what: str, of: str) -> float:
    labels = {"role": "web", "pipeline": pipeline, "stage": stage, STAGES[what]: of}
    return REGISTRY.get_sample_value(f"everycore_pipeline_stage_{what}_total", labels) or 0.0


def counts(pipeline: str, stage: StageReport) -> tuple[float, ...]:
    items = (counted(pipeline, stage.name, "items", way) for way in ("in", "out", "skipped"))
    activities = ("busy", "waiting_input", "waiting_output", "waiting_slot", "waiting_turn")
    return *items, *(counted(pipeline, stage.name, "seconds", each) for each in activities)


def figures(stage: StageReport) -> tuple[float, ...]:
    waits = stage.waiting_input, stage.waiting_output, stage.waiting_slot, stage.waiting_turn
    return stage.items_in, stage.items_out, stage.skipped, stage.busy, *waits


def increase(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


@pytest.mark.parametrize("skip", [False, True])
def test_a_run_is_counted_as_its_report_says(pipes: Pipes, skip):
    stages = pipes.run("t_plain").run.report()
    before = {stage.name: counts("t_plain", stage) for stage in stages}
    ended = runs("t_plain")

    result = pipes.run("t_plain", skip=skip, n=20)

    assert increase(runs("t_plain"), ended) == {"succeeded": 1}
    for stage in result.run.report():
        grown = [after - was for after, was in zip(counts("t_plain", stage), before[stage.name], strict=True)]
        assert grown == pytest.approx(figures(stage))
    assert counted("t_plain", stages[-1].name, "items", "out") >= 20


def test_items_that_are_left_out_are_counted(pipes: Pipes):
    def skipped() -> float:
        stages = result.run.report()
        return sum(counted("t_misbehave", stage.name, "items", "skipped") for stage in stages)

    result = pipes.run("t_misbehave", skip=True, n=5)
    before = skipped()
    result = pipes.run("t_misbehave", skip=True, n=5)

    assert len(result.skipped) == 1
    assert skipped() == before + 1


def test_a_run_that_fails_has_its_problem_s_name(pipes: Pipes):
    before = runs("t_misbehave")

    assert isinstance(pipes.run("t_misbehave", n=5).error, EverycoreError)

    assert increase(runs("t_misbehave"), before) == {"task-failed": 1}


def test_so_has_one_that_is_too_late(pipes: Pipes):
    before = runs("t_slow")

    assert isinstance(pipes.run("t_slow", within=0.3, n=100).error, EverycoreError)

    assert increase(runs("t_slow"), before) == {"deadline-exceeded": 1}


def test_one_that_nobody_wants_any_more_was_cancelled(pipes: Pipes):
    before = runs("t_slow")
    run = pipes.start("t_slow", n=100)
    next(run)

    run.close()
    run.close()

    assert increase(runs("t_slow"), before) == {"cancelled": 1}


def test_one_that_its_owner_can_not_use_has_the_name_of_that(pipes: Pipes):
    before = runs("t_slow")
    run = pipes.start("t_slow", n=100)
    next(run)

    run.close(EverycoreError("no room for it"))

    assert increase(runs("t_slow"), before) == {"internal-error": 1}


def test_a_long_run_is_seen_while_it_goes_on(pipes: Pipes):
    run = pipes.start("t_slow", n=100)
    (first, *_) = run.report()
    before = counted("t_slow", first.name, "items", "out")
    began = time.monotonic()

    def is_seen() -> bool:
        next(run)
        return counted("t_slow", first.name, "items", "out") > before

    with contextlib.closing(run):
        wait_until(is_seen)
        assert time.monotonic() - began > 0.9
        seen = counted("t_slow", first.name, "items", "out")
        before = seen
        wait_until(is_seen)
