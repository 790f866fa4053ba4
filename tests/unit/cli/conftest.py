"""A database in an empty folder, commands that use it, and a runner's side of it."""

from collections.abc import Iterator

import click.testing
import pytest

from service.__main__ import main
from service.jobs.claims import Claims
from service.jobs.database import open_database
from service.jobs.migrate import Migrated
from service.jobs.store import Store, open_store
from tests.unit.cli.working import Run


@pytest.fixture
def url(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.setenv("SERVICE_DATABASE_URL", url)
    return url


@pytest.fixture
def run(url) -> Run:
    return lambda *command: click.testing.CliRunner().invoke(main, command)


@pytest.fixture
def store(url) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def runner(url) -> Iterator[Claims]:
    """Claim jobs of the task ``work`` as a runner does."""
    database = Migrated(open_database(url))
    claims = Claims(database, ["work"])
    claims.register()
    yield claims
    database.close()
