"""The application with an engine that runs in the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.app import create_app
from service.engine.fake import FakeEngine
from service.settings import Settings

#: Largest body that the application under test takes.
MAX_BODY = 100_000


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make_client() -> Callable[..., FlaskClient]:
    """Make a client of an application with this engine, whose tasks are ours and ``example_tasks``."""

    def make(engine: FakeEngine, **changes: Any) -> FlaskClient:
        values: dict[str, Any] = {
            "max_body": MAX_BODY,
            "task_modules": ("tests.unit.api.example_tasks",),
            "log_format": "json",
            # A client of a test holds its place until it closes the answer, and few do.
            "web_threads": 1000,
        }
        return create_app(Settings(**(values | changes)), engine=engine).test_client()

    return make


@pytest.fixture
def client(engine: FakeEngine, make_client: Callable[..., FlaskClient]) -> FlaskClient:
    return make_client(engine)
