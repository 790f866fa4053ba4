"""What tasks say is kept in forms that every database and every client can take."""

from typing import Any

import pytest

from service.jobs import plain
from service.jobs.plain import MAX_NAME, MAX_NOTE, MAX_NUMBER, MAX_STAGES


def stage(**changes: Any) -> dict[str, Any]:
    return {"name": "work", "items_in": 3, "items_out": 2, "skipped": 1} | changes


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"done": 1, "total": 2.5, "note": "half"}, {"done": 1, "total": 2.5, "note": "half"}),
        ({}, {"done": None, "total": None, "note": ""}),
        ({"done": float("inf"), "total": "3"}, {"done": None, "total": 3.0, "note": ""}),
        ({"done": MAX_NUMBER, "total": 10**400}, {"done": MAX_NUMBER, "total": None, "note": ""}),
        ({"done": [], "note": None}, {"done": None, "total": None, "note": "None"}),
        ({"note": "a\0b\udcff"}, {"done": None, "total": None, "note": "a\N{REPLACEMENT CHARACTER}b?"}),
    ],
)
def test_numbers_and_a_note_are_kept(said: dict[str, Any], kept: dict[str, Any]) -> None:
    assert plain.progress(said) == kept


def test_a_long_note_is_cut_off() -> None:
    assert plain.progress({"note": "x" * 5000})["note"] == "x" * MAX_NOTE


def test_stages_are_kept_without_what_is_not_known() -> None:
    said = [stage(), stage(name="next\0", items_in=MAX_NUMBER, busy=0.5, secret={})]

    assert plain.progress({"stages": said})["stages"] == [
        stage(),
        stage(name="next\N{REPLACEMENT CHARACTER}", items_in=MAX_NUMBER),
    ]
    assert plain.progress({"stages": []})["stages"] == []


def test_there_are_only_so_many_and_their_names_so_long() -> None:
    kept = plain.progress({"stages": [stage(name="x" * 1000)] * 1000})["stages"]

    assert kept == [stage(name="x" * MAX_NAME)] * MAX_STAGES


@pytest.mark.parametrize(
    "stages",
    [
        None,
        "stages",
        {"name": "work"},
        [None],
        [stage(), {"name": "work"}],
        [stage(name=1)],
        [stage(items_in=-1)],
        [stage(items_out=1.5)],
        [stage(skipped=True)],
        [stage(items_in=MAX_NUMBER + 1)],
        [stage(items_in=None)],
    ],
)
def test_what_is_no_list_of_stages_is_left_out(stages: Any) -> None:
    assert plain.progress({"done": 1, "stages": stages}) == {"done": 1, "total": None, "note": ""}
