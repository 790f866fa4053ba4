"""The tables of jobs, on both databases."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.jobs import migrate
from service.jobs.claims import Claims
from service.jobs.database import Database, open_database
from service.jobs.store import Store
from tests.integration.jobs.actors import TASKS, ask
from tests.integration.jobs.workshop import Workshop

DIALECTS = ("sqlite", "postgresql")
#: The other tables go with jobs.
EMPTY = "DELETE FROM jobs; DELETE FROM batches; DELETE FROM runners; DELETE FROM schedules"


@pytest.fixture(params=DIALECTS)
def dialect(request) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def new_url(dialect, request, tmp_path) -> Iterator[str]:
    """Return the address of a database with nothing in it, not even tables."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path}/new.db"
    else:
        server = request.getfixturevalue("postgres")
        address = server.new_database()
        yield address
        server.drop_database(address)


@pytest.fixture(scope="session")
def shared_url(postgres) -> str:
    """Return the address of a PostgreSQL database with tables: to make one takes a third of a second."""
    return made(postgres.new_database())


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite database with tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    made(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(dialect, request, tmp_path) -> Iterator[str]:
    """Return the address of a database with tables that have no rows."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_file"), tmp_path)
        yield f"sqlite:///{tmp_path}/jobs.db"
    else:
        address = request.getfixturevalue("shared_url")
        yield address
        ask(address, EMPTY)


@pytest.fixture
def workshop(new_url, tmp_path) -> Iterator[Workshop]:
    """Return a place where jobs run, on a database that is made when it is first used."""
    with closing(Workshop(new_url, tmp_path)) as found:
        yield found


def made(address: str) -> str:
    database = open_database(address)
    migrate.apply(database)
    database.close()
    return address


@pytest.fixture
def database(url) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()


@pytest.fixture
def store(database) -> Store:
    return Store(database)


@pytest.fixture
def new_runner(database) -> Callable[[], Claims]:
    """Return what registers one more runner."""

    def register() -> Claims:
        claims = Claims(database, TASKS)
        claims.register()
        return claims

    return register


@pytest.fixture
def runner(new_runner: Callable[[], Claims]) -> Claims:
    return new_runner()
