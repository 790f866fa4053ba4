"""The charts, drawn where Matplotlib is: in the environment of the load tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests import load_tests
from tests.unit.pages import ROOT

pytestmark = load_tests.needed

HISTORY = """\
Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%,Total Request Count,Total Failure Count
"""
SCRIPT = """
import sys
from pathlib import Path
from loadtests import load_charts, load_history

folder = Path(sys.argv[1])
course = load_history.read(folder / "history.csv")
load_charts.against_offered(load_history.steps(course), 5.0, folder / "offered", "what was offered")
load_charts.over_time(course, folder / "time", "over the time")
panels = {"rate": {"this": [1.0, 20.0], "that": [3.0, 4.0]}}
load_charts.side_by_side(["one", "two"], panels, folder / "beside", "side by side")
rows = {"processes": [1, 3, 3], "descriptors": [9, 9, 9]}
load_charts.in_rows([0, 5, 10], rows, folder / "rows", "in rows")
"""
CHARTS = {
    "offered": {"what was offered", "answered rightly", "p99", "offered, tasks/s"},
    "time": {"over the time", "users", "right answers/s", "p95"},
    "beside": {"side by side", "rate", "this", "that", "one", "two"},
    "rows": {"in rows", "processes", "descriptors"},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("charts")
    lines = [
        f"{at},{users},,Aggregated,1.0,0.0,5,20,{30 + users},{10 * at * users},{at}"
        for users, begin in ((2, 0), (4, 10))
        for at in range(begin, begin + 10)
    ]
    (folder / "history.csv").write_text(HISTORY + "\n".join(lines) + "\n")
    command = [str(load_tests.PYTHON), "-c", SCRIPT, str(folder)]
    subprocess.run(command, cwd=ROOT, env=load_tests.environment(), check=True, timeout=50)
    return folder


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_a_picture_for_screens_and_one_for_pages(drawn, name):
    png, svg = drawn / f"{name}.png", drawn / f"{name}.svg"

    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    words = {"".join(element.itertext()).strip() for element in ET.parse(svg).iter()}
    assert CHARTS[name] <= words
    assert svg.stat().st_size < 100_000
    assert all(line == line.rstrip() for line in svg.read_text().splitlines())
