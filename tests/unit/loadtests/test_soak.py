"""What a service takes over time, and whether that stays the same."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys

import psutil
import pytest

from loadtests import soak_flatness, soak_samples
from loadtests.soak_flatness import BOUNDS
from loadtests.soak_samples import FIGURES, Sample
from tests.e2e.running import wait_until

TIMES = [5.0 * number for number in range(60)]


def judged(name, values, warm_up=0.0):
    return soak_flatness.judge(name, TIMES, values, warm_up)


def noisy(base, rising=0.0, noise=1.0):
    generator = random.Random(7)
    return [base + rising * time + generator.uniform(-noise, noise) for time in TIMES]


def test_each_figure_has_its_bound():
    assert set(BOUNDS) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_what_stays_the_same_is_flat_however_noisy(name):
    assert judged(name, noisy(100.0, noise=5.0)).flat


@pytest.mark.parametrize("name", FIGURES)
def test_what_grows_slowly_all_the_time_is_found(name):
    leak = judged(name, noisy(100.0, rising=0.1))

    assert not leak.flat
    assert leak.growth == pytest.approx(29.5, abs=2)


def test_falling_is_no_fault():
    assert judged("pss", noisy(200.0, rising=-0.3)).flat


def test_growth_during_the_warm_up_does_not_count():
    values = [min(time, 100.0) for time in TIMES]

    assert not judged("rss", values).flat
    assert judged("rss", values, warm_up=105.0).flat


def test_a_few_points_far_off_do_not_count():
    values = noisy(35.0, noise=0.0)
    values[-3:] = [80.0] * 3

    assert judged("processes", values).flat


def test_small_things_may_grow_by_a_few():
    assert judged("processes", [10.0 + (time > 150) for time in TIMES]).flat


def test_too_few_samples_are_no_verdict():
    with pytest.raises(ValueError, match="3 samples after 285 s of warm-up; 6 are needed"):
        judged("pss", noisy(1.0), warm_up=285.0)


def test_the_table_tells_which_grows():
    text = soak_flatness.text([judged("pss", noisy(100.0, rising=0.1)), judged("rss", noisy(100.0))])

    assert [line.split()[-1] for line in text.splitlines()[1:]] == ["GROWS", "flat"]


def test_a_sample_adds_up_all_processes():
    me = psutil.Process()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        both = soak_samples.look([me, psutil.Process(child.pid)], 3.0)
        alone = soak_samples.look([me], 3.0)

    assert (both.at, both.processes, alone.processes) == (3.0, 2, 1)
    assert both.rss > alone.rss > 1
    assert both.pss > 1
    assert both.descriptors > alone.descriptors


def test_a_process_that_has_gone_is_left_out():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        gone = psutil.Process(child.pid)
    assert child.returncode == 0

    assert soak_samples.look([gone], 0.0) == Sample(0.0, 0, 0, 0.0, 0.0)


def test_samples_are_taken_while_the_block_runs():
    with soak_samples.watching(lambda: [psutil.Process(os.getpid())], 0.01) as samples:
        wait_until(lambda: len(samples) >= 3, 10, lambda: str(samples))
    taken = len(samples)

    assert [sample.at for sample in samples] == sorted(sample.at for sample in samples)
    assert len(samples) == taken
    assert {sample.processes for sample in samples} == {1}


def test_samples_are_written_as_csv(tmp_path):
    path = tmp_path / "folder" / "soak.csv"

    soak_samples.write([Sample(0.0, 3, 40, 12.3456, 5.0)], path)

    assert list(csv.DictReader(path.read_text().splitlines())) == [
        {"at": "0.0", "processes": "3", "descriptors": "40", "rss": "12.346", "pss": "5.0"}
    ]
