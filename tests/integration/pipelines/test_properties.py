"""Whatever shape a pipeline has and however long its items take: nothing is lost, nothing comes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import DeadlineExceeded, TaskCrashed, TaskFailed
from service.tasks.pipelines import Kind, Pipeline
from tests.integration.pipelines.random_pipelines import LIMIT, PIPELINES, Act, Work

CAUSES = {
    "raise": TaskFailed,
    "exit": TaskCrashed,
    "kill": TaskCrashed,
    "segfault": TaskCrashed,
    "hang": DeadlineExceeded,
}
SECONDS = st.sampled_from((0.0, 0.0, 0.0, 0.001, 0.004))

COPIES = st.integers(0, 3)

acts = st.builds(Act, st.just("well"), SECONDS, COPIES)
bad_acts = st.builds(Act, st.sampled_from(("raise", "raise", "exit", "kill", "segfault")), SECONDS, COPIES)
pipelines = st.sampled_from(PIPELINES)


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def works(draw: st.DrawFn, most: int = 30) -> list[list[Act]]:
    """Return what is to be done with each item at each of three steps."""
    return draw(st.lists(st.lists(acts, min_size=3, max_size=3), max_size=most))


def items_of(plans: list[list[Act]]) -> list[Work]:
    return [Work((number,), tuple(plan)) for number, plan in enumerate(plans)]


def in_order(pipeline: Pipeline) -> bool:
    return all(step.processes == 1 or step.keeps_turns for step in pipeline.steps)


class Expected:
    """What a run should give, worked out item by item."""

    def __init__(self, pipeline: Pipeline, items: list[Work]) -> None:
        self.paths: list[tuple[int, ...]] = []
        #: Number of the producer's item, step, and the way in which it failed there.
        self.lost: Counter[tuple[int, str, type]] = Counter()
        for work in items:
            self.paths += self._through(pipeline, work, 1)

    def _through(self, pipeline: Pipeline, work: Work, at: int) -> Iterator[tuple[int, ...]]:
        if at == len(pipeline.steps):
            yield work.path
            return
        step, act = pipeline.steps[at], work.acts[at - 1]
        if step.kind is Kind.SPREAD:
            for copy in range(act.copies):
                yield from self._through(pipeline, work._replace(path=(*work.path, copy)), at + 1)
        if act.how in CAUSES and step.kind is not Kind.WHOLE:
            self.lost[work.path[0], step.name, CAUSES[act.how]] += 1
        elif step.kind is not Kind.SPREAD:
            yield from self._through(pipeline, work, at + 1)


@examples(100)
@given(pipeline=pipelines, plans=works())
def test_every_item_comes_out_once_and_in_order_where_that_is_promised(pipes, pipeline, plans):
    items = items_of(plans)
    result = pipes.run(pipeline.name, within=10, items=items)
    assert result.error is None
    expected = Expected(pipeline, items).paths
    found = [value.path for value in result.values]
    assert Counter(found) == Counter(expected)
    assert [item.number for item in result.items] == [path[0] for path in found]
    if in_order(pipeline):
        assert found == expected


@examples(100)
@given(pipeline=pipelines, plans=works(20), data=st.data())
def test_exactly_the_items_that_fail_are_left_out(pipes, pipeline, plans, data):
    for number in data.draw(st.sets(st.integers(0, max(0, len(plans) - 1)), max_size=6)):
        if number < len(plans):
            plans[number][data.draw(st.integers(0, 2))] = data.draw(bad_acts)
    check_skipped(pipes, pipeline, items_of(plans))


@examples(6)
@given(pipeline=pipelines, plans=works(12), at=st.integers(0, 2), number=st.integers(0, 11))
def test_an_item_that_hangs_is_left_out(pipes, pipeline, plans, at, number):
    if number < len(plans):
        plans[number][at] = Act("hang")
    check_skipped(pipes, pipeline, items_of(plans))


def check_skipped(pipes, pipeline, items):
    result = pipes.run(pipeline.name, within=10, skip=True, items=items)
    assert result.error is None
    expected = Expected(pipeline, items)
    found = [value.path for value in result.values]
    assert Counter(found) == Counter(expected.paths)
    assert Counter((s.item, s.stage, type(s.cause)) for s in result.skipped) == expected.lost
    assert sum(stage.skipped for stage in result.run.report()) == expected.lost.total()
    if in_order(pipeline):
        assert found == expected.paths


@examples(80)
@given(pipeline=pipelines, plans=works(20), data=st.data())
def test_the_first_failure_ends_a_run_that_leaves_out_nothing(pipes, pipeline, plans, data):
    for number in data.draw(st.sets(st.integers(0, max(0, len(plans) - 1)), max_size=3)):
        if number < len(plans):
            plans[number][data.draw(st.integers(0, 2))] = data.draw(bad_acts)
    items = items_of(plans)
    expected = Expected(pipeline, items)
    result = pipes.run(pipeline.name, within=10, items=items)
    found = [value.path for value in result.values]
    assert not result.skipped
    if expected.lost:
        failure = result.failure
        assert (failure.item, failure.stage, type(failure.cause)) in expected.lost
    else:
        assert result.error is None
        assert len(found) == len(expected.paths)
    assert not Counter(found) - Counter(expected.paths)
    if in_order(pipeline):
        assert found == expected.paths[: len(found)]


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_of_all_these_runs(watch):
    yield
    watch.assert_nothing_is_left()


def test_the_family_is_a_large_one():
    steps = [step for pipeline in PIPELINES for step in pipeline.steps[1:]]
    assert {step.kind for step in steps} == {Kind.EACH, Kind.SPREAD, Kind.WHOLE}
    assert {step.processes for step in steps} == {1, 2, 3}
    assert {step.keeps_turns for step in steps if step.processes > 1} == {True, False}
    assert {in_order(pipeline) for pipeline in PIPELINES} == {True, False}
    assert {pipeline.buffer for pipeline in PIPELINES} >= {1, 16}
    assert max(pipeline.processes for pipeline in PIPELINES) <= 8
    assert {step.timeout for step in steps} == {LIMIT}
