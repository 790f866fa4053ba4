"""How many calls travel together."""

import pytest

from service.engine.estimates import CHUNK_SECONDS, MAX_CHUNK, Estimate


def test_an_unknown_task_goes_one_by_one():
    assert Estimate().chunk(1000, 2) == 1


@pytest.mark.parametrize(
    ("seconds", "chunk"), [(1e-9, MAX_CHUNK), (1e-4, 250), (CHUNK_SECONDS, 1), (10.0, 1)]
)
def test_a_chunk_takes_about_as_long_as_it_should(seconds, chunk):
    assert Estimate(seconds).chunk(0, 2) == chunk


def test_what_is_left_is_shared_evenly_if_that_pays():
    assert Estimate(1e-4).chunk(16, 2) == 8
    assert Estimate(1e-6).chunk(16, 2) == 16, "a second process would cost more than it saves"


def test_a_dearer_call_is_believed_at_once_a_cheaper_one_slowly():
    estimate = Estimate(0.001)
    estimate.learn(1.0)
    assert estimate.seconds == 1.0
    estimate.learn(0.001)
    assert 0.5 < estimate.seconds < 1.0


def test_one_call_that_was_held_up_does_not_split_the_next_runs():
    estimate = Estimate()
    for _ in range(10):
        estimate.learn(5e-5)
    estimate.learn(0.1)
    assert estimate.chunk(4, 2) == 4
    assert estimate.usual == pytest.approx(6e-5)


def test_what_calls_take_usually_follows_when_they_change():
    estimate = Estimate()
    estimate.learn(1.0)
    for _ in range(60):
        estimate.learn(0.001)
    assert estimate.usual == pytest.approx(0.001)
    for _ in range(60):
        estimate.learn(1.0)
    assert estimate.usual == pytest.approx(1.0)


def test_a_chunk_is_late_well_after_its_time():
    assert Estimate().patience(1) == 0.005
    assert Estimate(0.001).patience(5) == pytest.approx(0.02)
    assert Estimate(0.1).patience(1) == 2 * CHUNK_SECONDS
