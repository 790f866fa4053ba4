"""What every test starts from."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests import postgres as postgresql

# What else the machine does is no mistake of an example that takes a little longer.
hypothesis.settings.register_profile("everycore", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("everycore")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """The settings of the person who runs the tests are not the tests'."""
    for name in list(os.environ):
        if name.upper().startswith("SERVICE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.PostgresServer]:
    """One PostgreSQL server for all tests that ask for it; each makes a database of its own there."""
    if not postgresql.find_programs():
        if os.environ.get("CI"):
            pytest.fail(postgresql.MISSING)
        pytest.skip(postgresql.MISSING)
    with postgresql.PostgresServer() as server:
        yield server
