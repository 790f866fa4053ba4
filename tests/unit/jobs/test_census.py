"""How the store stands: told at once, asked rarely, and nobody waits for a store that gives no answer."""

import threading
import time
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry

from service.jobs import census
from service.jobs.census import Census
from service.jobs.model import StoreUnavailable
from service.telemetry.metrics.jobs import Standing, StandingCollector
from tests.e2e.running import wait_until


class FakeStore:
    """A store that answers when it may."""

    def __init__(self) -> None:
        self.answers, self.counts = threading.Event(), threading.Event()
        self.answers.set()
        self.counts.set()
        self.is_away = False
        self.looks = 0
        self.queued = 5

    def standing(self, lease: float) -> Standing:
        self.looks += 1
        assert self.answers.wait(20)
        if self.is_away:
            raise StoreUnavailable("away")
        return Standing(runners=1, running=2, oldest=3.5)

    def waiting(self) -> tuple[int, int]:
        assert self.counts.wait(20)
        return self.queued, 7


@pytest.fixture
def store():
    found = FakeStore()
    yield found
    found.answers.set()
    found.counts.set()


def census_of(store: Any, fresh: float = 0.0) -> Census:
    return Census(store, 15, fresh)


def settled(found: Census) -> None:
    """Return when no look is under way."""
    wait_until(lambda: not found._is_looking, 10, str)


def test_it_tells_all_there_is(store):
    assert census_of(store).figures() == Standing(1, 2, 3.5, 5, 7)


def test_a_look_is_good_for_a_while(store):
    found = census_of(store, fresh=60)

    assert found.figures() == found.figures()
    assert store.looks == 1


def test_a_long_look_is_good_for_longer(store):
    store.counts.clear()
    found = census_of(store)
    found.figures()
    store.counts.set()
    settled(found)

    found.figures()

    assert store.looks == 1
    assert found._look_at - time.monotonic() > census.PATIENCE


def test_a_store_that_is_away_is_none_and_asked_again(store):
    store.is_away = True
    found = census_of(store)
    assert found.figures() is None

    store.is_away = False
    settled(found)

    assert found.figures() == Standing(1, 2, 3.5, 5, 7)


def test_nobody_waits_for_a_store_that_gives_no_answer(store):
    store.answers.clear()
    found = census_of(store)

    first = time.monotonic()
    assert found.figures() is None
    later = time.monotonic()
    assert all(found.figures() is None for _ in range(10))

    assert later - first < 5 * census.PATIENCE
    assert time.monotonic() - later < census.PATIENCE
    assert store.looks == 1


def test_while_jobs_are_counted_for_long_the_rest_is_told_with_the_last_counts(store):
    found = census_of(store)
    found.figures()
    settled(found)
    store.counts.clear()
    store.queued = 6
    found._look_at = 0.0

    assert found.figures() == Standing(1, 2, 3.5, 5, 7)
    store.counts.set()
    settled(found)
    found._look_at = 0.0
    assert found.figures() == Standing(1, 2, 3.5, 6, 7)


def test_before_jobs_were_ever_counted_the_rest_is_told(store):
    store.counts.clear()

    assert census_of(store).figures() == Standing(1, 2, 3.5)


def test_a_look_that_breaks_is_none(store):
    store.waiting = lambda: 1 / 0

    found = census_of(store)
    found.figures()
    settled(found)
    assert found._found is None


# Gauges


def gauges(standing: Standing | None) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(StandingCollector(lambda: standing))
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


def test_gauges_tell_what_was_found():
    assert gauges(Standing(1, 2, 3.5, 5, 7)) == {
        "everycore_store_up": 1,
        "everycore_runners": 1,
        "everycore_jobs_oldest_queued_seconds": 3.5,
        "everycore_jobsqueued": 5,
        "everycore_jobsscheduled": 7,
        "everycore_jobsrunning": 2,
    }


def test_what_was_not_counted_yet_is_absent():
    found = gauges(Standing(1, 2, 3.5))

    assert found["everycore_jobsrunning"] == 2
    assert "everycore_jobsqueued" not in found


def test_of_a_store_that_is_away_there_is_nothing_else():
    assert gauges(None) == {"everycore_store_up": 0}
