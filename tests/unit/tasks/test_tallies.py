"""Counts by key, numbers summed up, and percentiles that are at most 1 % off."""

from __future__ import annotations

import math
import pickle
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tasks import tallies
from service.tasks.tallies import MAX_NUMBER, Tallies, Tally, bucket_of, middle_of

NUMBERS = st.floats(-MAX_NUMBER, MAX_NUMBER)


def tally_of(*numbers: float) -> Tally:
    tally = Tally(count=len(numbers))
    for number in numbers:
        tally.take(number)
    return tally


@given(NUMBERS)
def test_the_middle_of_a_bucket_is_near_each_number_in_it(number: float) -> None:
    assert middle_of(bucket_of(number)) == pytest.approx(number, rel=0.0100001, abs=1e-99)


@given(NUMBERS, NUMBERS)
def test_larger_numbers_have_no_smaller_bucket(one: float, other: float) -> None:
    assert (bucket_of(one) - bucket_of(other)) * (one > other or -1) >= 0


@given(st.lists(NUMBERS, min_size=1), st.floats(0, 1))
def test_a_percentile_is_that_of_the_sorted_numbers(numbers: list[float], share: float) -> None:
    exact = sorted(numbers)[max(1, math.ceil(share * len(numbers))) - 1]

    assert tally_of(*numbers).percentiles(share) == [pytest.approx(exact, rel=0.0100001, abs=1e-99)]


def test_percentiles_of_many_numbers_are_known_in_a_few_buckets() -> None:
    numbers = [random.Random(number).lognormvariate(0, 1) for number in range(20_000)]
    tally = tally_of(*numbers)

    centiles = statistics.quantiles(numbers, n=100)
    assert tally.percentiles(0.5, 0.9, 0.99) == pytest.approx(
        [centiles[49], centiles[89], centiles[98]], rel=0.02
    )
    assert len(tally.buckets) < 500


@given(st.lists(NUMBERS, min_size=1), st.floats(0, 1))
def test_no_percentile_is_outside_of_the_numbers(numbers: list[float], share: float) -> None:
    (found,) = tally_of(*numbers).percentiles(share)

    assert min(numbers) <= found <= max(numbers)


@given(st.lists(st.lists(NUMBERS, max_size=5), max_size=5))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    total = Tally()
    for part in parts:
        total.add(pickle.loads(pickle.dumps(tally_of(*part))))
    whole = tally_of(*(number for part in parts for number in part))

    assert total.total == pytest.approx(whole.total, rel=1e-9, abs=1e90)
    total.total = whole.total
    assert total == whole


def test_keys_past_the_limit_are_added_up_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MAX_KEYS", 2)
    found = Tallies()

    found.add({"a": tally_of(1.0), "b": tally_of(2.0), "c": tally_of(3.0)})
    found.add({"d": tally_of(4.0), "a": tally_of(5.0)})

    assert found.by_key == {"a": tally_of(1.0, 5.0), "b": tally_of(2.0)}
    assert found.others == tally_of(3.0, 4.0)


def test_too_many_buckets_are_given_up_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MAX_BUCKETS", 4)
    found = Tallies()

    found.add({"a": tally_of(1.0, 2.0), "b": tally_of(1.0, 1.0, 2.0)})
    assert found.has_buckets

    found.add({"a": tally_of(3.0)})
    found.add({"c": tally_of(4.0)})

    assert not found.has_buckets
    assert [tally.buckets for tally in found.by_key.values()] == [{}, {}, {}]
    assert [tally.total for tally in found.by_key.values()] == [6, 4, 4]
