"""Each way to fail, at each place of a pipeline, in a run that stops there and in one that goes on.

The error names stage, item and cause; the others come through where that is promised; nothing is left.
"""

from __future__ import annotations

import itertools
import signal
from typing import Any

import pytest

from service.errors import (
    DeadlineExceeded,
    MemoryLimitExceeded,
    NotSerializable,
    TaskCrashed,
    TaskFailed,
)
from tests.integration.pipelines.broken_pipelines import ALL, BAD, LIMIT

PLACES = (
    "producer",
    "single",
    "ordered",
    "unordered",
    "spread",
    "spreads",
    "whole",
    "last",
    "last_of_many",
    "sink",
)
#: A step that has only one go at all the items ends the run.
HAS_ALL = ("producer", "whole")

WAYS: dict[str, tuple[type, dict[str, Any]]] = {
    "raise": (TaskFailed, {"exception": "ValueError", "message": "as it was told"}),
    "leave": (TaskFailed, {"exception": "SystemExit", "message": "3"}),
    "exit": (TaskCrashed, {"exit_code": 7, "signal": None}),
    "kill": (TaskCrashed, {"exit_code": -signal.SIGKILL, "signal": "SIGKILL"}),
    "segfault": (TaskCrashed, {"exit_code": -signal.SIGSEGV, "signal": "SIGSEGV"}),
    "hang": (DeadlineExceeded, {"limit": LIMIT, "started": True}),
    "hold_the_gil": (DeadlineExceeded, {"limit": LIMIT, "started": True}),
    "too_much": (MemoryLimitExceeded, {"limit": 200_000_000}),
    "unsendable": (NotSerializable, {"what": "result"}),
}
#: A sink passes nothing on.
CASES = [case for case in itertools.product(PLACES, WAYS) if case != ("sink", "unsendable")]


def numbers_without(place):
    """Return the numbers of the items that come through when one is left out."""
    if place == "sink":
        return []
    if place.startswith("spread"):
        return sorted([*range(ALL), *range(BAD), *range(BAD + 1, ALL)])
    return [number for number in range(ALL) if number != BAD]


def run(pipes, place, way, **options):
    hangs = WAYS[way][0] is DeadlineExceeded
    return pipes.run(f"{'t_hanging' if hangs else 't_broken'}_{place}", how=way, **options)


def check_failure(failure, way, stage="broken"):
    cause, facts = WAYS[way]
    assert (failure.stage, failure.item, type(failure.cause)) == (stage, BAD, cause)
    assert {fact: getattr(failure.cause, fact) for fact in facts} == facts
    assert f"{stage!r}, item {BAD}:" in str(failure)


@pytest.mark.parametrize(("place", "way"), CASES)
def test_a_run_stops_at_what_fails(pipes, watch, place, way):
    result = run(pipes, place, way)
    check_failure(result.failure, way)
    assert not result.skipped
    found = [number for number, _ in result.values]
    if place == "unordered":
        assert set(found) <= set(numbers_without(place))
        assert len(set(found)) == len(found)
    else:
        assert found == numbers_without(place)[: len(found)]
    watch.assert_nothing_is_left()


@pytest.mark.parametrize(("place", "way"), CASES)
def test_a_run_goes_on_without_what_fails(pipes, watch, place, way):
    result = run(pipes, place, way, skip=True)
    found = [number for number, _ in result.values]
    if place in HAS_ALL:
        check_failure(result.failure, way)
        assert not result.skipped
        assert found == list(range(len(found)))
    else:
        assert result.error is None
        (skipped,) = result.skipped
        check_failure(skipped, way)
        assert (sorted(found) if place == "unordered" else found) == numbers_without(place)
        (stage,) = (stage for stage in result.run.report() if stage.name == "broken")
        assert (stage.items_in, stage.skipped) == (ALL, 1)
    watch.assert_nothing_is_left()


@pytest.mark.parametrize("place", [place for place in PLACES if place != "sink"])
def test_a_result_that_cannot_be_unpacked_is_left_out_wherever_it_comes_from(pipes, watch, place):
    """Its stage is blamed, not the one that would have taken it."""
    result = pipes.run(f"t_broken_{place}", how="grudge")
    failure = result.failure
    assert (failure.stage, failure.item) == ("broken", BAD)
    assert isinstance(failure.cause, NotSerializable)
    assert "I stay packed" in str(failure)
    result = pipes.run(f"t_broken_{place}", skip=True, how="grudge")
    assert result.error is None
    (skipped,) = result.skipped
    assert (skipped.stage, skipped.item, type(skipped.cause)) == ("broken", BAD, NotSerializable)
    assert sorted(number for number, _ in result.values) == numbers_without(place)
    watch.assert_nothing_is_left()


@pytest.mark.parametrize("way", ["bomb", "heavy"])
@pytest.mark.parametrize("place", ["producer", "single", "ordered", "unordered", "spread", "whole"])
def test_an_item_that_kills_whoever_unpacks_it_is_that_one_s(pipes, watch, place, way):
    cause = TaskCrashed if way == "bomb" else MemoryLimitExceeded
    failure = pipes.run(f"t_broken_{place}", how=way).failure
    assert (failure.stage, failure.item, type(failure.cause)) == ("let_pass", BAD, cause)
    result = pipes.run(f"t_broken_{place}", skip=True, how=way)
    assert result.error is None
    (skipped,) = result.skipped
    assert (skipped.stage, skipped.item, type(skipped.cause)) == ("let_pass", BAD, cause)
    assert sorted(number for number, _ in result.values) == numbers_without(place)
    watch.assert_nothing_is_left()
