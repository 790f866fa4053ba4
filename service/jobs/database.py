"""Transactions of named queries on a database, whichever it is.

open_database(url) ─┬─ sqlite:///path      sqlite.py
                    └─ postgresql://…      postgres.py, by psycopg

    with database.transaction() as tx:      committed at the end, or nothing of it is
        tx.all("claim", runner=…)
        tx.ring(WORK)                       once it is committed, whoever listens hears of it
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

from service.errors import ConfigurationError
from service.jobs.model import StoreUnavailable

#: Topics of bells: there may be something to run; a job has changed.
WORK, CHANGES = "work", "changes"

Row = Mapping[str, Any]


class Transaction(Protocol):
    """Queries that are committed together."""

    def all(self, query: str, *, filters: str = "", **parameters: Any) -> list[Row]:
        """Run a query of ``queries.sql`` and return its rows; a tuple fills a list of parameters."""
        ...

    def many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a query that returns nothing once for each row of parameters."""
        ...

    def script(self, text: str) -> None:
        """Run the statements of a migration."""
        ...

    def lock(self) -> None:
        """Wait until no other process is in a transaction that called this."""
        ...

    def ring(self, topic: str) -> None:
        """Wake who listens to a topic, once this is committed."""
        ...


class Listener(Protocol):
    """Hears bells."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when a bell has rung."""
        ...

    def hear(self) -> None:
        """Take in what has rung; raises ``StoreUnavailable`` when nothing will be heard any more."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


class Database(Protocol):
    """A database with the tables of ``migrations``; any thread may use it, also after a fork."""

    #: ``sqlite`` or ``postgresql``.
    dialect: str

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return the context of a transaction that writes; raises ``StoreUnavailable``."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """Return the context of queries that only read; raises ``StoreUnavailable``."""
        ...

    def listen(self, topic: str) -> Listener:
        """Hear of a topic from now on; raises ``StoreUnavailable``."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def open_database(url: str) -> Database:
    """Return the database of a URL; raises ``ConfigurationError`` for a URL of another kind."""
    if url.startswith("sqlite:///"):
        from service.jobs.sqlite import SqliteDatabase  # noqa: PLC0415 - each knows this module

        return SqliteDatabase(url.removeprefix("sqlite:///"))
    if url.startswith(("postgresql://", "postgres://")):
        from service.jobs.postgres import PostgresDatabase  # noqa: PLC0415 - psycopg takes 60 ms to import

        return PostgresDatabase(url)
    raise ConfigurationError("SERVICE_DATABASE_URL must begin with sqlite:/// or postgresql://")


M = TypeVar("M")


class PerProcess(Generic[M]):
    """What each process has of its own, such as its connections.

    What came through a fork belongs to the parent, and is kept: even to close it would be too much, for
    SQLite then takes away what the parent relies on.
    """

    def __init__(self, make: Callable[[], M]) -> None:
        """Make nothing yet."""
        self._make = make
        self._made: list[tuple[int, M]] = []

    def get(self) -> M:
        """Return that of this process."""
        pid = os.getpid()
        if not self._made or self._made[-1][0] != pid:
            self._made.append((pid, self._make()))
        return self._made[-1][1]


C = TypeVar("C")


class Connections(Generic[C]):
    """Connections of one process that wait to be used again; at most ``most`` are in use."""

    def __init__(
        self, connect: Callable[[], C], close: Callable[[C], None], most: int, patience: float
    ) -> None:
        """Make none yet. Who finds all in use waits for ``patience`` seconds."""
        self._connect = connect
        self._close = close
        self._patience = patience
        self._idle: list[C] = []
        self._places = threading.BoundedSemaphore(most)

    @contextmanager
    def use(self, is_good: Callable[[C], bool]) -> Generator[C, None, None]:
        """Take a connection out; it is closed, not kept, when it is not good before or after."""
        if not self._places.acquire(timeout=self._patience):
            raise StoreUnavailable(f"every connection was in use for {self._patience:g} s")
        try:
            connection = self._take(is_good)
            try:
                yield connection
            except BaseException:
                self._give(connection, is_good)
                raise
            self._idle.append(connection)
        finally:
            self._places.release()

    def _take(self, is_good: Callable[[C], bool]) -> C:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if is_good(connection):
                return connection
            self._close(connection)

    def _give(self, connection: C, is_good: Callable[[C], bool]) -> None:
        if is_good(connection):
            self._idle.append(connection)
        else:
            self._close(connection)

    def close(self) -> None:
        """Close those that are idle."""
        while self._idle:
            self._close(self._idle.pop())
