"""The page about the API, in a real browser."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.running import Service

WANTED = "EVERYCORE_BROWSER"


@pytest.fixture
def chromium() -> str:
    """The program, by one of the names that it has."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    if program := next(filter(None, found), None):
        return program
    if os.environ.get(WANTED) == "1":
        pytest.fail(f"{WANTED}=1, but there is no Chromium here")
    pytest.skip("there is no Chromium here")


def test_it_shows_the_api_under_its_policy_and_without_other_hosts(
    serve: Callable[..., Service], chromium: str
) -> None:
    service = serve(SERVICE_WEB_WORKERS="1")

    browser = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--virtual-time-budget=10000", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
            *("--dump-dom", f"{service.url}/docs#/tasks/run_sum_of_squares"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )

    assert 'id="operations-tasks-run_sum_of_squares"' in browser.stdout
    assert "Try it out" in browser.stdout
    console = [line for line in browser.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in console if "Deprecated: escaping deep link" not in line]
