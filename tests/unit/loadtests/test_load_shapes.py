"""How many users there are in the course of a run."""

from __future__ import annotations

import itertools

import pytest

from loadtests import load_shapes
from loadtests.load_shapes import SHAPES, Plan


def users(shape, *, seconds=100.0, full=100):
    plan = Plan(shape, seconds, full)
    return [plan.users_at(passed + 0.5) for passed in range(int(seconds))]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_ends_when_its_time_is_over(shape):
    plan = Plan(shape, 30.0, 10)

    assert plan.users_at(29.9) is not None
    assert plan.users_at(30.0) is None
    assert plan.users_at(1e9) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_always_a_user_however_small_the_machine(shape):
    assert min(users(shape, full=1)) >= 1


def test_a_ramp_only_rises_and_comes_to_full_load():
    course = users("ramp")

    assert course == sorted(course)
    assert (course[0], course[-1]) == (5, 100)


def test_steps_are_as_long_as_each_other():
    course = users("steps", seconds=60.0)

    assert [(load, len(list(same))) for load, same in itertools.groupby(course)] == [
        (25, 10),
        (50, 10),
        (75, 10),
        (100, 10),
        (125, 10),
        (150, 10),
    ]


def test_a_spike_comes_at_once_and_goes_at_once():
    assert [load for load, _ in itertools.groupby(users("spike"))] == [25, 200, 25]
    assert users("spike").count(200) == 20


def test_a_soak_is_the_same_all_the_time():
    assert set(users("soak")) == {70}


def test_overload_leaves_time_to_recover():
    assert [(load, len(list(same))) for load, same in itertools.groupby(users("overload"))] == [
        (50, 25),
        (400, 50),
        (50, 25),
    ]


@pytest.mark.parametrize(
    ("users_per_core", "cores", "full"), [(16, 2, 32), (8.0, 1, 8), (1.3, 2, 3), (0.1, 1, 1)]
)
def test_full_load_is_so_many_users_a_core_and_never_none(users_per_core, cores, full):
    assert load_shapes.full_load(users_per_core, cores) == full


def test_help_explains_each_shape():
    lines = load_shapes.explained().splitlines()

    assert [line.split()[0] for line in lines] == list(SHAPES)
    assert all(len(line.split()) > 3 for line in lines)
