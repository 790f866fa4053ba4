"""What every test starts from."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """The settings of the person who runs the tests are not the tests'."""
    for name in list(os.environ):
        if name.upper().startswith("SERVICE_"):
            monkeypatch.delenv(name)
