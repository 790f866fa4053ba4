"""The commands of the load tests, short and with little load: they start, judge, draw, and leave nothing."""

import csv
import subprocess
from pathlib import Path

import psutil
import pytest

from tests import load_tests
from tests.unit.pages import ROOT

pytestmark = [load_tests.needed, pytest.mark.timeout(120)]


def command(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(load_tests.PYTHON), "-m", *arguments],
        cwd=ROOT,
        env=load_tests.environment() | {"LOADTEST_OUTPUT": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def assert_nothing_runs(folder: Path) -> None:
    variable = ("LOADTEST_OUTPUT", str(folder))
    left = []
    for process in psutil.process_iter(["environ", "status"]):
        found = (process.info["environ"] or {}).items()
        if variable in found and process.info["status"] != psutil.STATUS_ZOMBIE:
            left.append(process)
    assert not left


def test_a_load_test_writes_page_tables_and_charts(tmp_path):
    run = command(
        tmp_path,
        *("loadtests.loadtest", "--seconds", "10", "--shape", "overload", "--users-per-core", "2"),
        *("--cores", "1", "--capacity", "10", "--scenario", "uploads"),
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "uploads   failures" in run.stdout
    assert "objectives kept" in run.stdout
    names = ("overload.html", "overload_stats_history.csv", "load-test-overload-time.svg")
    assert all(f"written: {tmp_path / name}" in run.stdout for name in names)
    assert all((tmp_path / name).stat().st_size for name in names)
    assert_nothing_runs(tmp_path)


def test_a_load_test_without_a_service_says_so(tmp_path):
    run = command(tmp_path, "loadtests.loadtest", "--host", "http://127.0.0.1:1", "--seconds", "10")

    assert run.returncode == 1
    assert "no right answer within" in run.stderr


def test_a_scenario_that_is_not_there_is_told_at_once(tmp_path):
    run = command(tmp_path, "loadtests.loadtest", "--scenario", "nobody")

    assert run.returncode == 2
    assert "Invalid value for '--scenario': 'nobody' is not one of 'sample_concurrent', " in run.stderr


def test_a_run_that_does_not_start_is_not_told_by_the_figures_of_the_one_before(tmp_path):
    asked = ("loadtests.loadtest", "--host", "http://127.0.0.1:1", "--capacity", "10", "--seconds", "10")
    before = command(tmp_path, *asked, "--shape", "overload")
    # Locust reads it, and does not start.
    (tmp_path / ".locust.conf").write_text("users = many\n")

    run = command(tmp_path, *asked, "--shape", "overload", HOME=str(tmp_path))

    assert f"written: {tmp_path / 'overload_stats_history.csv'}" in before.stdout
    assert "MISSED: failures of total is 1, above 0" in before.stdout
    assert run.returncode == 1
    assert "no history of overload: " in run.stderr
    assert "invalid int value: 'many'" in run.stderr
    assert run.stdout == ""
    left = ("overload_stats_history.csv", "overload-slo.txt", "overload.html")
    assert not any((tmp_path / name).exists() for name in left)


def test_a_soak_judges_what_the_service_takes(tmp_path):
    run = command(tmp_path, "loadtests.soak", "--minutes", "0.2", "--every", "0.5", "--capacity", "10")

    # So soon after the start it may still grow, and a scenario not have been asked.
    assert run.returncode in (0, 1), run.stderr
    assert {line.split()[0] for line in run.stdout.splitlines() if line.endswith(("flat", "GROWS"))} == {
        "processes",
        "descriptors",
        "rss",
        "pss",
    }
    with (tmp_path / "soak.csv").open() as file:
        samples = list(csv.DictReader(file))
    assert len(samples) > 15
    assert all(float(sample["processes"]) >= 4 for sample in samples)
    assert (tmp_path / "soak-chart.svg").exists()
    assert_nothing_runs(tmp_path)
