"""The database in one file (SQLite): write-ahead log, and each commit on the disk before it returns."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.jobs import bells, queries
from service.jobs.bells import Bell
from service.jobs.database import Connections, PerProcess, Row
from service.jobs.model import StoreUnavailable
from service.jobs.turns import LOOK, at_the_gate

#: Seconds that a transaction waits for those of other processes.
PATIENCE = 5.0
#: Connections of one process.
MOST = 16


class SqliteDatabase:
    """See ``database.Database``."""

    dialect = "sqlite"

    def __init__(self, path: str) -> None:
        """Open nothing yet; ``path`` is made when it is first used."""
        self._path = Path(path)
        self._bells = Path(f"{path}-bells")
        self._gate = Path(f"{path}-gate")
        self._mine = PerProcess(lambda: _Mine(self._connect))
        self._was_there = False

    def _connect(self) -> sqlite3.Connection:
        with _told():
            if not self._was_there:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            # While its folder is away, an empty one would be taken for it, and be in its way.
            mode = "rw" if self._was_there else "rwc"
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=PATIENCE,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._was_there = True
            return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = _row
        with at_the_gate(self._gate, PATIENCE):
            # Who switches to it at the same time as others is not made to wait, but refused.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")

    @contextmanager
    def transaction(self) -> Generator[_Transaction, None, None]:
        """Return the context of a transaction that writes."""
        mine = self._mine.get()
        with mine.connections.use(_is_good) as connection, _told():
            if not mine.writing.acquire(timeout=PATIENCE):
                raise StoreUnavailable(f"other transactions took {PATIENCE:g} s")
            try:
                self._begin(connection)
                transaction = _Transaction(connection)
                try:
                    yield transaction
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                mine.writing.release()
        for topic in transaction.rung:
            bells.ring(self._bells / topic)

    def _begin(self, connection: sqlite3.Connection) -> None:
        with at_the_gate(self._gate, PATIENCE / 10):
            end = time.monotonic() + PATIENCE
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                while not _has_begun(connection) and time.monotonic() < end:
                    time.sleep(LOOK)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        if not connection.in_transaction:
            raise StoreUnavailable(f"transactions of other processes took {PATIENCE:g} s")

    @contextmanager
    def reading(self) -> Generator[_Transaction, None, None]:
        """Return the context of queries that only read."""
        with self._mine.get().connections.use(_is_good) as connection, _told():
            yield _Transaction(connection)

    def listen(self, topic: str) -> Bell:
        """Hear of a topic from now on."""
        with _told():
            return Bell(self._bells / topic)

    def close(self) -> None:
        """Close every connection that is idle."""
        self._mine.get().connections.close()


class _Mine:
    """What one process has of its own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self.connections = Connections(connect, lambda connection: connection.close(), MOST, PATIENCE)
        # SQLite has who waits for a writer look again from time to time; among threads there is a better way.
        self.writing = threading.Lock()


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rung: set[str] = set()

    def all(self, query: str, *, filters: str = "", **parameters: Any) -> list[Row]:
        return self._connection.execute(*queries.sqlite(query, parameters, filters)).fetchall()

    def many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._connection.executemany(queries.sqlite(query, {})[0], rows)

    def script(self, text: str) -> None:
        # executescript() would commit what has been done so far.
        statement = ""
        for line in text.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._connection.execute(statement)
                statement = ""
        assert not statement.strip(), f"no semicolon at the end: {statement}"

    def lock(self) -> None:
        pass  # there is one writer at a time anyway

    def ring(self, topic: str) -> None:
        self.rung.add(topic)


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _has_begun(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
    return connection.in_transaction


def _is_good(connection: sqlite3.Connection) -> bool:
    """Tell whether a connection may be used again: it was possible to roll back."""
    return not connection.in_transaction


@contextmanager
def _told() -> Generator[None, None, None]:
    """Say in our words that the file can't be used; a row that is wrong is the caller's own mistake."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
