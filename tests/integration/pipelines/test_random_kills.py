"""Stage processes that are killed from outside, at any moment, in runs that go on without what is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from service.errors import StageFailed, TaskCrashed
from tests.integration.pipelines.conftest import was_killed

ITEMS = 24
#: As many as a run survives even if none of them has an item in hand.
MOST_KILLS = 3
#: Seconds for all runs of a test.
TIME = 3.0
#: How many processes are killed at least.
ENOUGH = 20


class Killer(threading.Thread):
    """Kills processes that have noted themselves in a folder."""

    def __init__(self, pipes, folder, chance):
        super().__init__()
        self.done = threading.Event()
        self.killed = 0
        self._pipes = pipes
        self._folder = folder
        self._chance = chance

    def run(self):
        for _ in range(self._chance.randint(1, MOST_KILLS)):
            if self.done.wait(self._chance.uniform(0, 0.02)):
                return
            noted = {int(note.name) for note in self._folder.iterdir()}
            # By their descriptors: a number may be another's by now.
            victims = [process for process in self._pipes.busy if process.pid in noted]
            if victims:
                self.killed += was_killed(self._chance.choice(victims))


def run_and_kill(pipes, name, folder, chance):
    """Return what came of a run, and how many of its processes were killed."""
    folder.mkdir()
    seconds = [(chance.uniform(0, 0.002), chance.uniform(0, 0.002)) for _ in range(ITEMS)]
    killer = Killer(pipes, folder, chance)
    killer.start()
    try:
        return pipes.run(name, within=10, skip=True, folder=str(folder), seconds=seconds), killer
    finally:
        killer.done.set()
        killer.join()


@pytest.mark.parametrize("name", ["t_killed_ordered", "t_killed_twice_ordered", "t_killed_unordered"])
def test_what_a_killed_process_had_in_hand_is_told_and_nothing_else_is_lost(pipes, watch, tmp_path, name):
    chance, until, kills = random.Random(name), time.monotonic() + TIME, 0
    for number in range(1000):
        if time.monotonic() > until and kills > ENOUGH:
            break
        result, killer = run_and_kill(pipes, name, tmp_path / str(number), chance)
        kills += killer.killed
        check(result, killer.killed)
        if name != "t_killed_unordered":
            found = [errand.number for errand in result.values]
            assert found == sorted(found)
    assert kills > ENOUGH
    watch.assert_nothing_is_left()


def check(result, killed):
    assert result.error is None
    found = Counter(errand.number for errand in result.values)
    told = Counter(skipped.item for skipped in result.skipped)
    assert {skipped.stage for skipped in result.skipped} <= {"first", "second"}
    assert all(isinstance(skipped.cause, TaskCrashed) for skipped in result.skipped)
    # It may have died before it noted which one it took.
    unknown = told.pop(None, 0)
    assert told.total() + unknown <= killed
    assert max(found.values()) == 1
    assert len(set(range(ITEMS)) - set(found) - set(told)) <= unknown
    # Nor can it pass an item on and note that it did in one moment.
    passed_on = len(set(found) & set(told)) + told.total() - len(told)
    assert passed_on <= killed / 2 + 1


def test_what_was_passed_on_before_a_kill_stays(pipes, watch, tmp_path):
    """A step that makes two of each item may be killed between them."""
    chance, until, kills = random.Random(5), time.monotonic() + TIME, 0
    for number in range(1000):
        if time.monotonic() > until and kills > ENOUGH:
            break
        result, killer = run_and_kill(pipes, "t_killed_spread", tmp_path / str(number), chance)
        kills += killer.killed
        assert result.error is None
        found = [errand.number for errand in result.values]
        told = {skipped.item for skipped in result.skipped}
        assert found == sorted(found)
        assert max(Counter(found).values()) <= 2
        if None not in told:
            assert {number for number, count in Counter(found).items() if count == 1} <= told
            assert set(range(ITEMS)) <= set(found) | told
    assert kills > ENOUGH
    watch.assert_nothing_is_left()


def test_a_run_in_which_anything_is_killed_ends_one_way_or_the_other(pipes, watch, tmp_path):
    """Also the producer, and also more often than a run survives."""
    chance, until, ends = random.Random(6), time.monotonic() + TIME, Counter[str]()
    for number in range(1000):
        if time.monotonic() > until:
            break
        folder = tmp_path / str(number)
        folder.mkdir()
        stop = threading.Event()

        def kill(stop=stop):
            for _ in range(200):
                if stop.wait(chance.uniform(0, 0.01)):
                    return
                if busy := pipes.busy:
                    was_killed(chance.choice(busy))

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            plans = [(0.001, 0.001)] * ITEMS
            result = pipes.run("t_killed_ordered", 10, skip=True, folder=str(folder), seconds=plans)
        finally:
            stop.set()
            killer.join()
        assert max(Counter(errand.number for errand in result.values).values(), default=0) <= 1
        if result.error is not None:
            assert isinstance(result.error, StageFailed), result.error
            assert isinstance(result.error.cause, TaskCrashed)
            ends[result.error.stage] += 1
        else:
            ends["well"] += 1
    assert ends["errands"]
    watch.assert_nothing_is_left()
