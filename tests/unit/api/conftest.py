"""The application with an engine that runs in the test's own process, and jobs in the test's own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from service.engine.fake import FakeEngine
from service.jobs.database import Database, open_database
from service.jobs.migrate import Migrated
from service.jobs.store import Store
from service.settings import Settings
from tests.unit.api.job_runs import HandRunner

#: Largest body that the application under test takes.
MAX_BODY = 100_000


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Migrated(open_database(f"sqlite:///{tmp_path}/everycore.db"))
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def make_client(store: Store) -> Iterator[Callable[..., FlaskClient]]:
    """Make a client of an application with this engine, whose tasks are ours and ``example_tasks``."""
    apps: list[Flask] = []

    def make(engine: FakeEngine, *, store: Store = store, **changes: Any) -> FlaskClient:
        values: dict[str, Any] = {
            "max_body": MAX_BODY,
            "task_modules": ("tests.unit.api.example_tasks",),
            "log_format": "json",
            # A client of a test holds its place until it closes the answer, and few do.
            "web_threads": 1000,
        }
        apps.append(create_app(Settings(**(values | changes)), engine=engine, store=store))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions["everycore.watcher"].close()


@pytest.fixture
def client(engine: FakeEngine, make_client: Callable[..., FlaskClient]) -> FlaskClient:
    return make_client(engine)


@pytest.fixture
def runner(client: FlaskClient, database: Database) -> HandRunner:
    """A runner for the jobs of ``client``."""
    return HandRunner(database)
