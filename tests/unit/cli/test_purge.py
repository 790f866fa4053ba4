"""``python -m service jobs purge``."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.jobs.model import NewJob, Payload, State
from tests.unit.cli.working import PROBLEM, claim, end, submit, wait_for_age

ROOT = Path(__file__).resolve().parents[3]


class TestPurge:
    @pytest.fixture
    def ended(self, store, runner) -> dict[State, str]:
        """Return jobs that have ended, by how they did; one more waits."""
        failed, cancelled, _ = submit(store), submit(store, task="other"), submit(store, task="other")
        end(runner, claim(runner), State.FAILED, failed=1, error=PROBLEM)
        store.cancel(cancelled)
        return {State.FAILED: failed, State.CANCELLED: cancelled}

    def test_it_removes_what_ended_and_says_how_many(self, run, store, ended):
        result = run("jobs", "purge", "--older-than", wait_for_age(), "--yes")

        assert (result.exit_code, result.stdout, result.stderr) == (0, "removed 2 jobs\n", "")
        assert store.counts() == {State.QUEUED: 1}

    def test_what_ended_lately_stays(self, run, store, ended):
        assert run("jobs", "purge", "--older-than", "1h", "--yes").stdout == "removed 0 jobs\n"
        assert len(store.list()[0]) == 3

    def test_only_what_ended_in_one_way(self, run, store, ended):
        result = run("jobs", "purge", "--older-than", wait_for_age(), "--state", "failed", "--yes")

        assert result.stdout == "removed 1 jobs\n"
        assert store.counts() == {State.QUEUED: 1, State.CANCELLED: 1}

    def test_more_than_one_step(self, run, store):
        batch, _ = store.submit_batch(
            [NewJob("work", Payload("application/json", b"{}"), 1, 60.0)] * 1200, ""
        )
        store.cancel_batch(batch.id)

        result = run("jobs", "purge", "--older-than", wait_for_age(), "--yes")

        assert result.stdout == "removed 1200 jobs\n"
        assert store.counts() == {}

    def test_it_does_nothing_where_nobody_can_be_asked(self, run, store, ended):
        result = run("jobs", "purge", "--older-than", wait_for_age())

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "error: there is nobody to ask here; --yes removes without asking\n"
        assert len(store.list()[0]) == 3

    @pytest.mark.parametrize(("answer", "status", "left"), [(b"y\n", 0, 1), (b"n\n", 1, 3), (b"\n", 1, 3)])
    def test_at_a_terminal_it_asks(self, store, ended, tmp_path, answer, status, left):
        ours, theirs = pty.openpty()
        os.write(ours, answer)

        done = subprocess.run(
            [sys.executable, "-m", "service", "jobs", "purge", "--older-than", wait_for_age()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
        )

        os.close(ours)
        os.close(theirs)
        assert re.search(r"Remove 2 jobs that ended before [\dT:-]+Z\? \[y/N\]", done.stdout + done.stderr)
        assert (done.returncode, len(store.list()[0])) == (status, left)

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ((), "Missing option '--older-than'"),
            (("--older-than", "old"), "is no duration"),
            (("--older-than", "0"), "more than 0 seconds"),
            (("--older-than", "1h", "--state", "running"), "'running' is none of succeeded, failed"),
        ],
    )
    def test_what_an_option_can_not_be_is_refused(self, run, options, why):
        result = run("jobs", "purge", "--yes", *options)

        assert (result.exit_code, result.stdout) == (2, "")
        assert why in result.stderr
