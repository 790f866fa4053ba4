"""How commands fail, and how they print."""

import re

import pytest

from service.cli.console import printable, span
from tests.unit.cli.working import NOBODY


@pytest.mark.parametrize(
    "command",
    [
        ("jobs", "list"),
        ("jobs", "show", NOBODY),
        ("jobs", "cancel", NOBODY),
        ("jobs", "retry", NOBODY),
        ("jobs", "purge", "--older-than", "1h", "--yes"),
        ("db", "status"),
        ("db", "migrate"),
    ],
    ids=" ".join,
)
class TestTrouble:
    def test_a_database_that_is_away_is_told_with_the_reason(self, run, monkeypatch, command):
        monkeypatch.setenv("SERVICE_DATABASE_URL", "sqlite:////dev/null/jobs.db")

        result = run(*command)

        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: the store of jobs can't be used now: ")
        assert "/dev/null" in line

    @pytest.mark.parametrize("password", ["open%sesame", "open/sesame", "open@sesame", "open sesame"])
    def test_an_address_that_is_none_is_told_without_its_password(self, run, monkeypatch, command, password):
        monkeypatch.setenv("SERVICE_DATABASE_URL", f"postgresql://me:{password}@localhost/jobs")

        result = run(*command)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: SERVICE_DATABASE_URL=(hidden): it is not of the form")
        assert not re.search("open|sesame", result.output)

    def test_a_wrong_setting_is_explained(self, run, monkeypatch, command):
        monkeypatch.setenv("SERVICE_RUNNERS", "many")

        result = run(*command)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: SERVICE_RUNNERS='many'")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.00s"),
        (0.123, "0.12s"),
        (59.9, "59.90s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (90_000, "1d01h"),
    ],
)
def test_a_time_span_has_two_units(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain, ü, 日本", "plain, ü, 日本"), ("a\tb\x1b[2J", r"a\tb\x1b[2J"), ("\ud800", r"\ud800")],
)
def test_what_is_printed_does_nothing_to_a_terminal(text, shown):
    assert printable(text) == shown
