"""The database on a PostgreSQL server, by psycopg 3."""

from __future__ import annotations

import select
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.rows import dict_row

from service.errors import ConfigurationError
from service.jobs import queries
from service.jobs.database import Connections, PerProcess, Row
from service.jobs.model import StoreUnavailable

#: Seconds to connect, and to wait for a connection of this process.
PATIENCE = 5.0
#: Connections of one process.
MOST = 10
#: A server that has gone without a word is given up after about a quarter of a minute.
_OPTIONS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "everycore",
    "client_encoding": "utf8",
}

#: Each commit is on the disk before it is said to be, whatever the server's own setting. Nobody waits for
#: ever for a row of somebody who was halted, or whose machine went, in the middle of a transaction.
_SET_UP = """
SET synchronous_commit = on;
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '10s'
"""

_NO_ADDRESS = (
    "SERVICE_DATABASE_URL=(hidden): it is not of the form postgresql://user:password@host:port/name?option=value;"
    " a character such as / @ % or a space in a user or a password is to be percent-encoded, %40 for @"
)

#: The advisory lock of ours.
_LOCK = 0x65766572

Connection = psycopg.Connection[dict[str, Any]]


class PostgresDatabase:
    """See ``database.Database``."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        """Connect to nothing yet; raises ``ConfigurationError`` for what is no address."""
        if not _is_address(url):
            raise ConfigurationError(_NO_ADDRESS)
        self._url = url
        self._connections = PerProcess(
            lambda: Connections(self._connect, lambda connection: connection.close(), MOST, PATIENCE)
        )

    def _connect(self) -> Connection:
        with _told():
            connection = psycopg.connect(self._url, autocommit=True, row_factory=dict_row, **_OPTIONS)  # type: ignore[arg-type] # they are what libpq takes
            try:
                _check_encoding(connection)
                connection.execute(_SET_UP)
            except BaseException:
                connection.close()
                raise
            return connection

    @contextmanager
    def _use(self) -> Generator[Connection, None, None]:
        with self._connections.get().use(_is_good) as connection, _told():
            try:
                yield connection
            except psycopg.errors.FeatureNotSupported:
                # A plan that it keeps is of before a migration.
                connection.close()
                raise

    @contextmanager
    def transaction(self) -> Generator[_Transaction, None, None]:
        """Return the context of a transaction that writes."""
        with self._use() as connection, connection.transaction():
            transaction = _Transaction(connection)
            yield transaction
            for topic in sorted(transaction.rung):
                connection.execute(f"NOTIFY {_channel(topic)}")

    @contextmanager
    def reading(self) -> Generator[_Transaction, None, None]:
        """Return the context of queries that only read."""
        with self._use() as connection:
            yield _Transaction(connection)

    def listen(self, topic: str) -> _Listener:
        """Hear of a topic from now on."""
        connection = self._connect()
        try:
            with _told():
                connection.execute(f"LISTEN {_channel(topic)}")
        except BaseException:
            connection.close()
            raise
        return _Listener(connection)

    def close(self) -> None:
        """Close every connection that is idle."""
        self._connections.get().close()


class _Transaction:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rung: set[str] = set()

    def all(self, query: str, *, filters: str = "", **parameters: Any) -> list[Row]:
        text, given = queries.postgres(query, parameters, filters)
        # What fits a task with many jobs may not fit one with few: filters are planned anew each time.
        cursor = self._connection.execute(text, given, prepare=False if filters else None)
        return list(cursor.fetchall()) if cursor.description is not None else []

    def many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(queries.postgres(query, {})[0], rows)

    def script(self, text: str) -> None:
        self._connection.execute(text)

    def lock(self) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])

    def ring(self, topic: str) -> None:
        self.rung.add(topic)


class _Listener:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fileno(self) -> int:
        return self._connection.fileno()

    def hear(self) -> None:
        with _told():
            for _ in self._connection.notifies(timeout=0):
                pass

    def close(self) -> None:
        self._connection.close()


def _is_address(url: str) -> bool:
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False  # its text may quote the password
    # A password with a special character in it is taken for these, and would be quoted when they don't do.
    hosts, ports = str(parts.get("host") or ""), str(parts.get("port") or "")
    return "@" not in hosts and all(port.isdecimal() for port in ports.split(",") if port)


def _check_encoding(connection: Connection) -> None:
    """Refuse a database that can't take every text."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailable(f"the database is encoded in {encoding}; make one that is in UTF8")


def _channel(topic: str) -> str:
    return f"everycore_{topic}"


def _is_good(connection: Connection) -> bool:
    """Tell whether a connection that nothing is asked of may be used: the server has not hung up."""
    if connection.closed or connection.broken:
        return False
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


@contextmanager
def _told() -> Generator[None, None, None]:
    """Say in our words that the server can't be used; a row that is wrong is the caller's own mistake."""
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError):
        raise
    except (psycopg.Error, OSError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
