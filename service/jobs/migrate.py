"""Brings a database up to date: the numbered files of ``migrations``, each once, in order.

``0001_name.sql`` is for every database, ``0002_name.sqlite.sql`` for one. All that are missing are applied in
one transaction, under a lock: processes that start at the same time wait for the first.
"""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from service.errors import ConfigurationError
from service.jobs.database import Database, Listener, Transaction

FOLDER = Path(__file__).parent / "migrations"
_FILE = re.compile(r"(\d{4})_(\w+?)(?:\.(sqlite|postgresql))?\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str


def known(dialect: str) -> list[Migration]:
    """Return the migrations for one kind of database, in order."""
    found: list[Migration] = []
    for path in sorted(FOLDER.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ConfigurationError(f"{path.name} is not the name of a migration")
        number, name, only = match.groups()
        if only in (None, dialect):
            found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return found


@dataclass(frozen=True, slots=True)
class Status:
    """How far a database has come."""

    #: Numbers and names, with the times (seconds since the epoch) at which they were applied.
    applied: list[tuple[int, str, float]]
    pending: list[Migration]


def status(database: Database) -> Status:
    """Return what was applied and what is missing; makes the table of migrations if there is none."""
    with database.transaction() as tx:
        tx.lock()
        return _status(tx, database.dialect)


def apply(database: Database) -> list[Migration]:
    """Apply what is missing, and return it.

    Raises ``StoreUnavailable``, and ``ConfigurationError`` for a database that a later version has migrated.
    """
    with database.transaction() as tx:
        tx.lock()
        pending = _status(tx, database.dialect).pending
        for migration in pending:
            tx.script(migration.text)
            tx.all("add_migration", number=migration.number, name=migration.name, now=time.time())
        return pending


def _status(tx: Transaction, dialect: str) -> Status:
    tx.all("make_migrations")
    applied = [(row["number"], row["name"], row["applied_at"]) for row in tx.all("migrations")]
    numbers = {number for number, _, _ in applied}
    ours = known(dialect)
    if newer := numbers - {migration.number for migration in ours}:
        raise ConfigurationError(
            f"the database has migration {max(newer)}, which only later versions of the service know"
        )
    return Status(applied, [migration for migration in ours if migration.number not in numbers])


class Migrated:
    """A database that is brought up to date before it is first used."""

    def __init__(self, database: Database) -> None:
        """Do nothing yet: it may be away while the service starts."""
        self._database = database
        self.dialect = database.dialect
        self._is_current = False

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return the context of a transaction that writes."""
        self._ensure()
        return self._database.transaction()

    def reading(self) -> AbstractContextManager[Transaction]:
        """Return the context of queries that only read."""
        self._ensure()
        return self._database.reading()

    def listen(self, topic: str) -> Listener:
        """Hear of a topic from now on."""
        return self._database.listen(topic)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _ensure(self) -> None:
        if not self._is_current:
            apply(self._database)
            self._is_current = True
