"""However much goes through a pipeline, it takes no more memory than what waits between the stages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.pipelines.conftest import wait_until

OWNER = Path(__file__).with_name("memory_owner.py")
ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
#: Items that the owner takes ahead of its caller, at most.
AHEAD = 64


def measure(tmp_path, name, items):
    """Return results, then bytes at most: of all processes, of these what came on top, of memory files."""
    # Coverage would measure every line of it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, str(OWNER), str(tmp_path / "run"), name, str(items)]
    done = subprocess.run(
        command, env=env | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True, text=True
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.timeout(240)
def test_a_million_small_items_take_no_more_memory_than_ten(tmp_path):
    count, _, more, _ = measure(tmp_path, "t_short", 1_000_000)
    assert count == 1_000_000
    assert more < 16 * MIB


@pytest.mark.timeout(240)
def test_ten_gigabytes_go_through_a_little_memory(tmp_path):
    count, peak, _, in_files = measure(tmp_path, "t_blocks", 1280)
    assert count == 1280
    assert peak < 400 * MIB
    assert in_files < 1000 * MIB, "of the whole machine, so others count, too"


def test_a_caller_that_stops_stops_the_producer(pipes, tmp_path):
    note = tmp_path / "produced"

    def produced():
        return int(note.read_text() or 0) if note.exists() else 0

    def wait_for_rest():
        """Wait until the number stays for a while."""
        seen, since = produced(), time.monotonic()
        while time.monotonic() - since < 0.3:
            time.sleep(0.01)
            if (now := produced()) != seen:
                seen, since = now, time.monotonic()
        return seen

    # In each of two channels four items, one in the hand of each of two processes, and the owner's.
    most = AHEAD + 2 * 4 + 2 + 1
    run = pipes.start("t_noted", path=str(note))
    taken = 0
    for more in (1, 50, 500):
        for _ in range(more):
            assert next(run).value == taken + 1
            taken += 1
        assert taken <= wait_for_rest() <= taken + most
    run.close()
    at_the_end = produced()
    assert wait_until(lambda: not pipes.busy) < 5
    assert produced() == at_the_end


def test_a_caller_that_never_begins_starts_nothing(pipes, tmp_path):
    note = tmp_path / "produced"
    run = pipes.start("t_noted", path=str(note))
    run.close()
    assert not note.exists()
