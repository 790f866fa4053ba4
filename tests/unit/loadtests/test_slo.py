"""Objectives: how they are read, judged and told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtests import load_shapes, slo
from loadtests.slo import SLO_FILE, TOTAL, BadObjectives, Measured

SCENARIOS = Path(slo.__file__).parent / "scenarios"


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, shape: str = "none"):
        path = tmp_path / "slo.toml"
        path.write_text(text)
        return slo.read(path, shape)

    return read


def measured(requests=100, refused=0, failed=0, p50=10.0, p95=20.0, p99=30.0, seconds=10.0):
    return Measured(requests, refused, failed, {"p50": p50, "p95": p95, "p99": p99}, seconds)


def missed(objectives, **found):
    return {(each.name, each.limit) for each in objectives.judge(found) if not each.kept}


LIMITS = """
[default]
requests = 10
failures = 0.0
[scenario.jobs]
refusals = 0.1
p50 = 10
p95 = 20
p99 = 30
goodput = 9.0
"""


def test_what_is_at_its_limits_keeps_them(read):
    jobs = measured(requests=100, refused=10)

    assert missed(read(LIMITS), jobs=jobs) == set()


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"requests": 9, "seconds": 1.0}, "requests"),
        ({"failed": 1}, "failures"),
        ({"refused": 11, "seconds": 9.0}, "refusals"),
        ({"p50": 10.1}, "p50"),
        ({"p95": 20.1}, "p95"),
        ({"p99": 30.1}, "p99"),
        ({"seconds": 11.2}, "goodput"),
    ],
)
def test_each_limit_is_missed_alone(read, change, limit):
    assert missed(read(LIMITS), jobs=measured(**change)) == {("jobs", limit)}


def test_only_right_answers_are_goodput():
    assert measured(requests=100, refused=20, failed=30, seconds=10.0).value("goodput") == 5.0


def test_a_scenario_that_nobody_asked_for_misses_its_least_requests(read):
    nothing = measured(requests=0, p50=0.0, p95=0.0, p99=0.0, seconds=0.0)

    assert ("streams", "requests") in missed(read(LIMITS), streams=nothing)


def test_what_has_no_table_is_judged_by_the_default(read):
    assert missed(read(LIMITS), streams=measured(failed=1, p99=1e6)) == {("streams", "failures")}


def test_a_shape_eases_refusals_and_times_and_nothing_else(read):
    text = f"{LIMITS}[shape.overload]\nrefusals = 0.9\nlatency = 3.0\n"
    jobs = measured(requests=1000, refused=800, p50=30.0, p95=60.0, p99=90.0)

    assert missed(read(text, "overload"), jobs=jobs) == set()
    assert missed(read(text, "overload"), jobs=measured(failed=1)) == {("jobs", "failures")}
    assert missed(read(text, "ramp"), jobs=jobs) == {
        ("jobs", "refusals"),
        ("jobs", "p50"),
        ("jobs", "p95"),
        ("jobs", "p99"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default]\np90 = 3\n", r"\[default\] has 'p90'; known are .*p95"),
        ("[scenario.jobs]\np50 = '3 s'\n", "p50 of .jobs. is to be a number, not '3 s'"),
        ("[scenario.jobs]\nfailures = true\n", "is to be a number"),
        ("[scenarios.jobs]\np50 = 3\n", "has 'scenarios'"),
        ("[shape.steps]\ngoodput = 3\n", "shape.steps. has 'goodput'"),
        ("[default\n", "slo.toml: "),
    ],
)
def test_a_mistake_in_the_file_is_named(read, text, said):
    with pytest.raises(BadObjectives, match=said):
        read(text, "steps")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadObjectives, match="nowhere"):
        slo.read(tmp_path / "nowhere")


def test_the_table_marks_what_was_missed_and_names_it_below(read):
    verdicts = read(LIMITS).judge({"jobs": measured(failed=3, p99=31.0)})
    *table, last = slo.text(verdicts).splitlines()

    assert [line.split()[:2] for line in table if line.endswith("MISSED")] == [
        ["jobs", "failures"],
        ["jobs", "p99"],
    ]
    assert "MISSED: failures of jobs is 0.03, above 0" in table
    assert last == "MISSED: p99 of jobs is 31, above 30"


def test_a_kept_table_says_so(read):
    verdicts = read(LIMITS).judge({"jobs": measured()})

    assert slo.text(verdicts).endswith("all 7 objectives kept")


class TestOurFile:
    @pytest.mark.parametrize("shape", ["none", *load_shapes.SHAPES])
    def test_it_can_be_read_for_each_shape(self, shape):
        objectives = slo.read(SLO_FILE, shape)

        assert objectives.of(TOTAL).goodput
        assert objectives.of("fan_out").failures == 0.0

    def test_each_scenario_has_its_limits_and_nothing_else_has(self):
        sources = [path.read_text() for path in SCENARIOS.glob("*.py")]
        names = {name for text in sources for name in re.findall(r'= scenario\("(\w+)"', text)}

        assert len(names) == 10
        assert set(slo.read(SLO_FILE).named) == names | {TOTAL}
        for name in names:
            limits = slo.read(SLO_FILE).of(name)
            assert None not in (limits.requests, limits.failures, limits.p50, limits.p95, limits.p99)
