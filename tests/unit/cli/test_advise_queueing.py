"""How long requests wait, beside figures from tables and beside requests that are played through."""

import math
import random

import pytest

from service.cli.advise import queueing


def arrivals(rate: float, count: int) -> list[float]:
    chance, now, found = random.Random(7), 0.0, []
    for _ in range(count):
        now += chance.expovariate(rate)
        found.append(now)
    return found


@pytest.mark.parametrize(
    ("load", "servers", "share"),
    # One server: the utilisation itself. The others: tables of Erlang's C formula.
    [(0.5, 1, 0.5), (1.0, 2, 0.3333), (4.0, 5, 0.5541), (8.0, 10, 0.4092)],
)
def test_who_waits_at_all(load, servers, share):
    assert queueing.waiting_share(load, 1.0, servers) == pytest.approx(share, abs=0.0001)


def test_one_server_is_the_formula_that_everybody_knows():
    # M/M/1: utilisation / (1 - utilisation) x service.
    assert queueing.mean_wait(0.8, 1.0, 1) == pytest.approx(4.0)
    # M/D/1: half of it.
    assert queueing.mean_wait(0.8, 1.0, 1, variation=0.0) == pytest.approx(2.0)


def test_most_wait_less_than_the_share_that_was_asked_for():
    # M/M/1: P(wait > t) = 0.8 x exp(-0.2 t).
    assert queueing.wait(0.8, 1.0, 1, 0.95) == pytest.approx(math.log(0.8 / 0.05) / 0.2)
    assert queueing.wait(0.3, 1.0, 1, 0.5) == 0.0


@pytest.mark.parametrize("rate", [2.0, 2.5])
def test_with_more_to_do_than_they_can_the_queue_grows_for_ever(rate):
    assert queueing.utilisation(rate, 1.0, 2) >= 1.0
    assert queueing.waiting_share(rate, 1.0, 2) == 1.0
    assert queueing.mean_wait(rate, 1.0, 2) == math.inf
    assert queueing.wait(rate, 1.0, 2, 0.5) == math.inf


def test_arrivals_are_served_first_come_first_served():
    assert queueing.waits([0.0, 0.0, 0.5, 0.5, 9.0], service=1.0, servers=2) == [0.0, 0.0, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("servers", [1, 2, 8])
@pytest.mark.parametrize("busy", [0.6, 0.8])
def test_equal_calls_wait_nearly_as_long_as_those_that_are_played_through(servers, busy):
    rate = busy * servers
    waits = queueing.waits(arrivals(rate, 100_000), 1.0, servers)

    mean = sum(waits) / len(waits)
    assert queueing.mean_wait(rate, 1.0, servers, variation=0.0) == pytest.approx(mean, rel=0.1, abs=0.01)
    p95 = sorted(waits)[95_000]
    assert queueing.wait(rate, 1.0, servers, 0.95, variation=0.0) == pytest.approx(p95, rel=0.1, abs=0.1)
