"""Counting."""

from __future__ import annotations

import math

import pytest

from service.tasks.arithmetic import Primes, monte_carlo_pi, primes, sum_of_squares


@pytest.mark.parametrize(("n", "total"), [(0, 0), (1, 0), (2, 1), (5, 30), (1000, 332_833_500)])
def test_sum_of_squares(n: int, total: int) -> None:
    assert sum_of_squares(n) == total


def test_a_limit_is_not_below_itself() -> None:
    found = [primes(limit) for limit in range(9)]

    assert [(p.count, p.largest) for p in found] == [
        (0, None),
        (0, None),
        (0, None),
        (1, 2),
        (2, 3),
        (2, 3),
        (3, 5),
        (3, 5),
        (4, 7),
    ]


def test_small_limits_agree_with_trial_division() -> None:
    known = [n for n in range(2, 1000) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1))]

    for limit in range(1, 1000):
        below = [n for n in known if n < limit]
        assert primes(limit) == Primes(len(below), below[-1] if below else None)


@pytest.mark.parametrize(
    # https://oeis.org/A006880 and https://oeis.org/A003618
    ("limit", "count", "largest"),
    [
        (10**3, 168, 997),
        (10**4, 1229, 9973),
        (10**5, 9592, 99_991),
        (10**6, 78_498, 999_983),
        (10**7, 664_579, 9_999_991),
        (10**8, 5_761_455, 99_999_989),
    ],
)
def test_powers_of_ten_have_as_many_primes_as_is_known(limit: int, count: int, largest: int) -> None:
    assert primes(limit) == Primes(count, largest)


@pytest.mark.parametrize("seed", range(5))
def test_pi_is_within_four_standard_errors(seed: int) -> None:
    estimate = monte_carlo_pi(100_000, seed)

    assert abs(estimate.value - math.pi) < 4 * estimate.standard_error
    # That of 4 times a share of pi / 4
    assert estimate.standard_error == pytest.approx(math.sqrt(math.pi * (4 - math.pi) / 100_000), rel=0.02)


def test_the_same_seed_gives_the_same_estimate_and_none_another_each_time() -> None:
    assert monte_carlo_pi(1000, 7) == monte_carlo_pi(1000, 7) != monte_carlo_pi(1000, 8)
    assert len({monte_carlo_pi(1000).value for _ in range(20)}) > 1


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_one_sample_is_enough(seed: int) -> None:
    assert monte_carlo_pi(1, seed).value in (0, 4)
