"""The benchmark of jobs measures the service as it is; no figure is judged here."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loadtests import jobs_everycore, jobs_report
from loadtests.bench_jobs import main
from loadtests.jobs_queue import JobsFailed
from tests.unit.loadtests.alone import run_alone

# In a process of its own, for it takes signals to itself.
SMALL_RUN = """
import json
from loadtests.bench_jobs import run
from loadtests.jobs_plan import Plan
few = Plan(turns=1, jobs=2000, seconds=0.2, batches=1, watch=2.0, single_jobs=5)
print(json.dumps(run(["everycore"], few)))
"""

JOB = {
    "state": "succeeded",
    "started_at": "2026-01-02T03:04:05.250000Z",
    "finished_at": "2026-01-02T03:04:05.500000Z",
    "result": 1767323045.375,
}


@pytest.fixture(scope="module")
def report():
    return json.loads(run_alone(SMALL_RUN))


def test_every_figure_is_measured(report):
    assert set(report["contenders"]["everycore"]["results"]) == set(report["figures"])


def test_a_job_is_claimed_before_it_starts_and_has_started_before_it_ends(report):
    times = report["contenders"]["everycore"]["samples"]

    steps = zip(times["claimed"], times["start"], times["ended"], times["done"], strict=True)
    assert all(claimed <= start <= ended <= done for claimed, start, ended, done in steps)
    assert len(times["start"]) == 5


def test_the_table_has_every_figure(report):
    table = jobs_report.text(report)

    assert all(figure["label"] in table for figure in report["figures"].values())


def test_the_moments_of_a_job_are_seconds_since_the_epoch():
    begun = 1767323045.0

    assert jobs_everycore.moments_of(JOB) == {
        "claimed": begun + 0.25,
        "start": begun + 0.375,
        "ended": begun + 0.5,
    }


def test_a_job_that_has_not_succeeded_is_no_measurement():
    with pytest.raises(JobsFailed, match="a job has failed"):
        jobs_everycore.moments_of(JOB | {"state": "failed", "result": None})


def test_a_batch_has_as_many_jobs_as_it_is_to_have():
    assert json.loads(jobs_everycore.batch_of(3)) == {"jobs": [{"task": "noop", "args": {}}] * 3}


def test_help_says_how_to_run_it_quickly():
    assert "--quick" in CliRunner().invoke(main, ["--help"]).output
