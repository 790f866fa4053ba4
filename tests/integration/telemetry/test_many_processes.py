"""What many processes count together, and what is left of it when they die."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.telemetry.metrics.directory import VARIABLE, Folder

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("counting.py")


class Counting:
    """A process that counts, and does one thing after the other."""

    def __init__(self, folder: Path | None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop(VARIABLE, None)
        if folder is not None:
            environment[VARIABLE] = str(folder)
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            bufsize=1,
        )

    def do(self, command: str) -> str:
        """Have it do something; return what it prints."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        said = ""
        for line in self.process.stdout:
            if line == ".\n":
                return said
            said += line
        raise AssertionError(f"it ended with {self.process.wait()} and said {said!r}")

    def text(self) -> dict[str, float]:
        """Return what it tells of all processes: values by name and labels."""
        found = re.findall(r"^(\w+(?:{[^}]*})?) (\S+)$", self.do("text"), re.MULTILINE)
        return {name.removeprefix("everycore_test_"): float(value) for name, value in found}

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = Folder(tmp_path)
    yield made.path
    made.remove()


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Counting]]:
    processes: list[Counting] = []

    def start(where: Path | None = folder) -> Counting:
        processes.append(Counting(where))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


COUNT, SECONDS = 'total{kind="a"}', "seconds_count"


def test_whichever_is_asked_tells_of_all(start: Callable[..., Counting]) -> None:
    processes = [start() for _ in range(3)]
    for number, process in enumerate(processes):
        process.do(f"count {10**number}")
        process.do("set 1")

    for process in processes:
        told = process.text()
        assert (told[COUNT], told[SECONDS], told["alive"]) == (111, 111, 3)
        assert told['seconds_bucket{le="0.001"}'] == 0
        assert told['seconds_bucket{le="0.0025"}'] == 111


def test_counts_stay_when_a_process_is_killed_and_gauges_go(start: Callable[..., Counting]) -> None:
    dies, lives = start(), start()
    for process in (dies, lives):
        process.do("count 7")
        process.do("set 1")

    dies.kill()

    told = lives.text()
    assert (told[COUNT], told[SECONDS], told["alive"]) == (14, 14, 1)


def test_metrics_of_any_kind_are_told(start: Callable[..., Counting]) -> None:
    dies, lives = start(), start()
    dies.do("own 7")
    lives.do("own 4")
    told = lives.text()
    assert (told["own_seconds_sum"], told["own_highest"]) == (11, 7)

    dies.kill()
    told = lives.text()
    assert (told["own_seconds_sum"], told["own_highest"]) == (11, 4)

    follows = start()
    follows.do("own 2")
    lives.kill()
    told = follows.text()
    assert (told["own_seconds_sum"], told["own_highest"]) == (13, 2)
    # Told by place: one is another's since.
    assert sorted(value for name, value in told.items() if name.startswith("own_level{")) == [2, 4]


def test_a_program_that_counts_there_without_a_place_is_told_too(
    start: Callable[..., Counting], folder: Path
) -> None:
    text = "from prometheus_client import Gauge; Gauge('x', '', multiprocess_mode='livesum').set(5)"
    subprocess.run([sys.executable, "-c", text], env={**os.environ, VARIABLE: str(folder)}, check=True)

    assert start().text()["x"] == 5


def test_one_that_comes_after_many_that_were_killed_goes_on_where_they_ended(
    start: Callable[..., Counting], folder: Path
) -> None:
    told = {}
    for _ in range(12):
        process = start()
        process.do("set 1")
        process.do("count 5")
        told = process.text()
        process.kill()

    assert (told[COUNT], told[SECONDS], told["alive"]) == (60, 60, 1)
    assert len(list(folder.iterdir())) == 4  # of one place: counters, gauges, histograms, and its lock


def test_there_are_no_more_files_than_processes_at_a_time(
    start: Callable[..., Counting], folder: Path
) -> None:
    chosen = random.Random(6)
    living = [start() for _ in range(3)]
    counted, last = 0, 0.0
    for _ in range(10):
        for process in living:
            process.do("count 3")
            process.do("set 1")
            counted += 3
        victim = living.pop(chosen.randrange(3))
        victim.kill()
        told = chosen.choice(living).text()
        # Never less than before, or Prometheus would take it for a restart.
        assert told[COUNT] == counted > last
        assert told["alive"] == 2
        last = told[COUNT]
        living.append(start())

    assert len(list(folder.glob("place_*"))) == 3
    assert len(list(folder.glob("*.db"))) <= 3 * 3


def test_a_fork_counts_in_files_of_its_own(start: Callable[..., Counting], folder: Path) -> None:
    process = start()
    process.do("count 2")
    process.do("fork 30")
    process.do("count 1")
    process.do("fork 400")

    assert process.text()[COUNT] == 433
    assert len(list(folder.glob("place_*"))) == 2


def test_one_without_a_folder_counts_for_itself_alone(start: Callable[..., Counting], folder: Path) -> None:
    alone, other = start(None), start()
    alone.do("count 3")
    other.do("count 4")

    assert alone.text()[COUNT] == 3
    assert other.text()[COUNT] == 4
    assert alone.text()[SECONDS] == 3


def test_one_whose_files_can_not_be_made_still_works(start: Callable[..., Counting], tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("")

    process = start(no_folder)
    assert process.do("count 3").count("the metrics of this process are lost") == 1


def test_a_scrape_beside_processes_that_start_and_die_never_fails(start: Callable[..., Counting]) -> None:
    asked = start()
    asked.do("count 1")
    last = 0.0
    for _ in range(5):
        beside = [start() for _ in range(3)]
        for _ in range(20):  # while they make their files
            told = asked.text()
            assert told[COUNT] >= last
            last = told[COUNT]
        for process in beside:
            process.do("count 1")
            process.kill()

    assert asked.text()[COUNT] == 16


@pytest.mark.timeout(180)
def test_one_that_starts_during_a_scrape_takes_a_place_that_is_free(
    start: Callable[..., Counting], folder: Path
) -> None:
    scrapes, forks = start(), start()
    with ThreadPoolExecutor() as threads:
        over = threading.Event()

        def scrape_again_and_again() -> None:
            while not over.is_set():
                assert scrapes.text()["alive"] <= 1

        scraping = threads.submit(scrape_again_and_again)
        try:
            for _ in range(300):
                forks.do("fork 1")
        finally:
            over.set()
        scraping.result()

    assert scrapes.text()[COUNT] == 300
    assert len(list(folder.glob("place_*"))) == 3
