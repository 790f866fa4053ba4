"""What the one who runs a pipeline gets to see."""

from __future__ import annotations

import time

import numpy as np
import pytest

from service.errors import NotSerializable, StageFailed, TaskCrashed, TaskFailed
from service.pipelines.run import Item
from tests.integration.pipelines.conftest import wait_until


def test_items_come_in_order_with_the_numbers_of_those_they_come_from(pipes):
    result = pipes.run("t_plain", n=100)
    assert result.error is None
    assert result.items == [Item(number, 2 * (number + 1)) for number in range(100)]


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_few_items(pipes, n):
    assert pipes.values("t_plain", n=n) == [2 * (number + 1) for number in range(n)]
    assert pipes.values("t_ordered", n=n) == [2 * number for number in range(n)]
    assert pipes.values("t_total", n=n) == [sum(range(1, n + 1))]
    assert pipes.values("t_sink", n=n) == []


def test_several_processes_work_at_the_same_time(pipes):
    values = pipes.values("t_wide", n=60)
    assert [number for number, _ in values] == list(range(60))
    assert len({pid for _, pid in values}) == 3


def test_without_order_the_fast_pass_the_slow(pipes):
    values = pipes.values("t_unordered", n=60)
    assert sorted(values) == [2 * number for number in range(60)]
    assert values != sorted(values)


def test_one_may_become_several_or_none(pipes):
    result = pipes.run("t_spread", n=30)
    numbers = [number for number in range(30) for _ in range(number % 10)]
    assert result.values == [number + 1 for number in numbers]
    assert [item.number for item in result.items] == numbers


def test_the_first_result_is_there_while_the_producer_goes_on(pipes, tmp_path):
    go_on = tmp_path / "go on"
    run = pipes.start("t_waits", path=str(go_on))
    assert next(run) == Item(0, "first")
    assert not run.at_hand
    go_on.touch()
    assert next(run) == Item(1, "second")
    with pytest.raises(StopIteration):
        next(run)


def test_arrays_come_through(pipes):
    assert pipes.values("t_blocks", n=20) == [2.0 * number for number in range(20)]
    blocks = pipes.values("t_passes_blocks", n=3)
    assert [(block.shape, block[0]) for block in blocks] == [((131072,), float(n)) for n in range(3)]
    blocks[0][0] = 7.0
    assert isinstance(blocks[0], np.ndarray)


def test_a_run_that_is_over_stays_over(pipes):
    run = pipes.start("t_plain", n=2)
    assert len(list(run)) == 2
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(run)
    run.close()


def test_a_failure_stays_a_failure(pipes):
    run = pipes.start("t_producer_fails", n=5)
    with pytest.raises(StageFailed):
        list(run)
    with pytest.raises((StageFailed, StopIteration)):
        next(run)


def test_what_came_before_a_failure_comes_before_its_error(pipes):
    result = pipes.run("t_producer_fails", n=500)
    assert result.values == list(range(1, len(result.values) + 1))
    assert (result.failure.stage, result.failure.item) == ("fail_after", 500)
    assert isinstance(result.failure.cause, TaskFailed)
    result = pipes.run("t_producer_dies", n=500)
    assert result.values == list(range(1, len(result.values) + 1))
    assert isinstance(result.failure.cause, TaskCrashed)


def test_all_kinds_of_failures_in_one_run(pipes, watch):
    result = pipes.run("t_misbehave", skip=True, n=60)
    assert result.error is None
    bad = {2, 12, 22, 32, 42}
    assert result.values == [2 * (number + 1) for number in range(60) if number not in bad]
    assert {skipped.item for skipped in result.skipped} == bad
    assert {skipped.stage for skipped in result.skipped} == {"misbehave"}
    report = {stage.name: stage for stage in result.run.report()}
    assert report["misbehave"].busy > 0.5, "the time of those that hung counts, too"
    watch.assert_nothing_is_left()


def test_arguments_that_can_not_travel(pipes, watch):
    failure = pipes.run("t_plain", n=lambda: None).failure
    assert (failure.stage, failure.item) == ("count_up", None)
    assert isinstance(failure.cause, NotSerializable)
    watch.assert_nothing_is_left()


def test_the_report_counts_what_went_through(pipes):
    run = pipes.run("t_spread", n=30).run
    produced, spread, added = run.report()
    assert (produced.items_in, produced.items_out) == (0, 30)
    assert (spread.items_in, spread.items_out) == (30, 135)
    assert (added.items_in, added.items_out) == (135, 135)
    assert [(stage.name, stage.processes) for stage in run.report()] == [
        ("count_up", 1),
        ("each_as_often", 2),
        ("plus_one", 2),
    ]
    assert run.report() == run.report(), "it is final"


def test_the_report_of_a_run_under_way(pipes, tmp_path):
    go_on = tmp_path / "go on"
    run = pipes.start("t_waits", path=str(go_on))
    assert run.timing is None
    next(run)
    busy = run.report()[0].busy
    wait_until(lambda: run.report()[0].busy > busy + 0.05)
    timing = run.timing
    assert timing is not None
    assert timing.queued <= timing.started <= time.monotonic()
    go_on.touch()
    assert len(list(run)) == 1
    timing = run.timing
    assert timing is not None
    assert timing.cpu > 0


def test_a_pipeline_that_runs_again_finds_its_processes_warm(pipes):
    pipes.values("t_plain")
    began = time.monotonic()
    for _ in range(20):
        pipes.values("t_plain")
    assert time.monotonic() - began < 5
