"""The page about the logs has every event that the code emits, with the fields that it gives by name."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.unit.pages import REFERENCE, ROOT, codes, words_of

LEVELS = {"debug", "info", "warning", "error", "exception"}
PAGE = REFERENCE / "logs.md"
#: What the page calls them by another name.
ELSEWHERE = {"exc_info": "exception"}


def emitted() -> dict[str, set[str]]:
    """Return the fields of each event that our own code logs."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "service").rglob("*.py")):
        for event, fields in events_of(path):
            found[event] |= fields
    return found


def events_of(path: Path) -> list[tuple[str, set[str]]]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(event_of(call), fields_of(call)) for call in calls if is_logging(call)]


def is_logging(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id == "info_each"
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return False
    # `self.log` is Gunicorn's.
    return ast.unparse(call.func.value) in ("_log", "self._log")


def event_of(call: ast.Call) -> str:
    event = call.args[0]
    assert isinstance(event, ast.Constant), f"an event has no text of its own: {ast.unparse(call)}"
    return str(event.value)


def fields_of(call: ast.Call) -> set[str]:
    named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        named.add("exception")
    return {ELSEWHERE.get(name, name) for name in named}


def documented() -> dict[str, set[str]]:
    """Return the fields of each event on the page."""
    found: dict[str, set[str]] = {}
    for line in words_of(PAGE).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            found |= dict.fromkeys(codes(cells[0]), codes(cells[2]))
    return found


def test_each_event_is_documented_and_no_other():
    assert sorted(documented()) == sorted(emitted())


@pytest.mark.parametrize(("event", "fields"), emitted().items())
def test_the_fields_of_an_event_are_documented(event, fields):
    assert fields <= documented()[event]


def test_what_a_line_says_of_an_attempt_is_documented():
    from service.jobs.account import named
    from tests.unit.jobs.made_jobs import made

    text = words_of(PAGE).partition("\n## Of jobs\n")[2].partition("\n|")[0]
    assert set(named(made(request_id="r1"))) == codes(text)
