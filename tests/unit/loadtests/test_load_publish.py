"""Each command writes its own part of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests import load_publish
from loadtests.load_publish import NoSuchPart
from service.cpus import available_cpus

PAGE = """# Report

<!-- loadtest: by a command -->
old
<!-- end of loadtest -->

Between.

<!-- loadtest-compare: by another -->
<!-- end of loadtest-compare -->
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    path = tmp_path / "docs" / "report.md"
    path.write_text(PAGE)
    return path


def test_a_part_is_replaced_and_the_rest_stays(page):
    load_publish.publish("loadtest", ["new", r"with \1 in it"], [], page)

    assert page.read_text() == PAGE.replace("old\n", "\nnew\nwith \\1 in it\n\n")


def test_it_can_be_replaced_again(page):
    load_publish.publish("loadtest", ["first"], [], page)
    load_publish.publish("loadtest", ["second"], [], page)

    assert page.read_text() == PAGE.replace("old\n", "\nsecond\n\n")


def test_an_empty_part_is_filled(page):
    load_publish.publish("loadtest-compare", ["words"], [], page)

    assert "by another -->\n\nwords\n\n<!-- end of loadtest-compare -->" in page.read_text()
    assert "old\n" in page.read_text()


def test_pictures_are_put_beside_the_page(page, tmp_path):
    picture = tmp_path / "chart.svg"
    picture.write_text("<svg/>")

    load_publish.publish("loadtest", ["new"], [picture], page)

    assert (page.parent / "chart.svg").read_text() == "<svg/>"


def test_a_part_that_is_not_there_is_named(page):
    with pytest.raises(NoSuchPart, match="'none'"):
        load_publish.publish("none", ["new"], [], page)


def test_a_table_has_a_head():
    assert load_publish.table([["load", "a"], ["25 %", "1"]]) == [
        "| load | a |",
        "| --- | --: |",
        "| 25 % | 1 |",
    ]


@pytest.mark.parametrize(
    ("before", "after", "steady"), [(0.99, 0.9, True), (0.99, 0.5, False), (0.5, 0.99, False)]
)
def test_a_machine_that_lost_its_cores_is_told(before, after, steady):
    cores = available_cpus()
    said = load_publish.worth(before * cores, after * cores)

    assert ("can't be compared" not in said) is steady
    assert f"{after * cores:.2f} x after it" in said


def test_whose_machine_it_is_is_told():
    heading, worth = ["2 CPUs", "python 3"], "cores did 2 x as much"

    here = load_publish.origin("loadtest", heading, worth)
    there = load_publish.origin("loadtest", heading, worth, "http://10.0.0.5:8000")

    assert here.endswith("` on 2 CPUs; python 3; cores did 2 x as much.")
    assert "asker" not in here
    assert "` asked http://10.0.0.5:8000. The machine is the asker's, and what it is worth: 2 CPUs" in there


def test_our_page_has_its_parts():
    text = load_publish.PAGE.read_text()

    for part in ("loadtest", "loadtest-compare"):
        assert f"<!-- {part}: " in text
        assert f"<!-- end of {part} -->" in text
