"""Limits, errors and ends that come at awkward moments."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.errors import DeadlineExceeded, MemoryLimitExceeded, NotSerializable
from tests.integration.pipelines.conftest import Pipes
from tests.integration.pipelines.edge_pipelines import Explosive


@pytest.mark.parametrize("name", ["t_nearly_late", "t_nearly_late_in_turn"])
def test_an_item_is_passed_on_or_late_but_never_both(pipes: Pipes, name: str) -> None:
    """Its limit ends with the work on it: it strikes neither while it is passed on nor at the next item."""
    result = pipes.run(name, n=300, skip=True)

    assert result.error is None
    late = [failed.item for failed in result.skipped]
    assert sorted([*result.values, *late]) == list(range(300))
    assert all(isinstance(failed.cause, DeadlineExceeded) for failed in result.skipped)


@pytest.mark.parametrize("pause", [0.1, 0.3])
def test_an_error_behind_what_is_wanted_is_none(pipes: Pipes, pause: float) -> None:
    for _ in range(5):
        assert pipes.values("t_head", n=2, pause=pause) == [0]


def test_a_stage_that_hides_the_loss_of_items_fails(make_pipes: Callable[..., Pipes]) -> None:
    """It runs out of memory while items come in, and takes that for their end."""
    pipes = make_pipes(memory_limit=64 * 1024 * 1024)

    result = pipes.run("t_counts_what_comes", n=200, kilobytes=1024)

    assert result.values == []
    assert result.failure.stage == "count_what_comes"
    assert isinstance(result.failure.cause, MemoryLimitExceeded)


def test_an_argument_that_can_not_be_read_leaves_nothing_behind(pipes: Pipes) -> None:
    for _ in range(3):
        failure = pipes.run("t_plain", n=Explosive()).failure
        assert (failure.stage, type(failure.cause)) == ("count_up", NotSerializable)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """As many more as an engine needs, and too few for all items that a channel may hold."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 240, usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, usual)


@pytest.mark.usefixtures("few_descriptors")
def test_more_large_items_than_may_be_on_their_way_wait(make_pipes: Callable[..., Pipes]) -> None:
    values = make_pipes().values("t_large_ones", n=400, kilobytes=40)

    assert values == list(range(400))
