"""The environment of the load tests, for tests of what needs it: Locust can't be imported beside pytest."""

import os

import pytest

from tests.unit.pages import ROOT

PYTHON = ROOT / ".venv-loadtest" / "bin" / "python"
STAMP = ROOT / ".venv-loadtest" / "loadtest.stamp"

#: `make loadtest-smoke` installs it, and runs them.
needed = pytest.mark.skipif(not STAMP.exists(), reason="no .venv-loadtest; `make loadtest-smoke` makes it")


def environment() -> dict[str, str]:
    """Return the environment for its programs: without what is set for other services or for coverage."""
    foreign = ("SERVICE_", "LOCUST_", "COVERAGE_", "EVERYCORE_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return ours | {"PYTHONPATH": str(ROOT)}
