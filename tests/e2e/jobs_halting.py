"""A runner that halts at one exact commit: ``python -m tests.e2e.jobs_halting WHEN QUERY NTH MARK``.

WHEN is ``before`` or ``after``: at the NTH transaction in which QUERY is run, the thread leaves its process's
pid in the file MARK and waits there for as long as the file exists. What is to happen then is up to the test.
With ``lose`` nothing waits: the commit succeeds, and the runner hears that it did not.
"""

import os
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from service import settings as configuration
from service.jobs.database import Database, Listener, Row, Transaction, open_database
from service.jobs.migrate import Migrated
from service.jobs.model import StoreUnavailable
from service.tasks import registry
from service.telemetry import logs
from service.work import work

BEFORE, AFTER, LOSE = "before", "after", "lose"


class Noticing:
    """A transaction that knows which queries were run."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.queries: set[str] = set()
        self.script = transaction.script
        self.lock = transaction.lock
        self.ring = transaction.ring

    def all(self, query: str, *, filters: str = "", **parameters: Any) -> list[Row]:
        self.queries.add(query)
        return self._transaction.all(query, filters=filters, **parameters)

    def many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self.queries.add(query)
        self._transaction.many(query, rows)


class Halting:
    """A database that halts; see above."""

    def __init__(self, database: Database, when: str, query: str, nth: int, mark: Path) -> None:
        self._database = database
        self._when = when
        self._query = query
        self._left = nth
        self._mark = mark
        self.dialect = database.dialect

    @contextmanager
    def transaction(self) -> Generator[Transaction, None, None]:
        with self._database.transaction() as transaction:
            noticing = Noticing(transaction)
            yield noticing
            self._left -= self._query in noticing.queries
            is_it = self._query in noticing.queries and not self._left
            if is_it and self._when == BEFORE:
                self._halt()
        if is_it and self._when == AFTER:
            self._halt()
        if is_it and self._when == LOSE:
            self._tell()
            raise StoreUnavailable("the answer to a commit was lost")

    def _halt(self) -> None:
        self._tell()
        while self._mark.exists():
            time.sleep(0.001)

    def _tell(self) -> None:
        unfinished = self._mark.with_suffix(".unfinished")
        unfinished.write_text(str(os.getpid()))
        unfinished.rename(self._mark)

    def reading(self) -> AbstractContextManager[Transaction]:
        return self._database.reading()

    def listen(self, topic: str) -> Listener:
        return self._database.listen(topic)

    def close(self) -> None:
        self._database.close()


def main() -> None:
    when, query, nth, mark = sys.argv[1:]
    settings = configuration.load()
    registry.load(settings.task_modules)
    logs.configure(settings.log_format, settings.log_level)
    database = Migrated(open_database(settings.database_url.get_secret_value()))
    work(settings, Halting(database, when, query, int(nth), Path(mark)))


if __name__ == "__main__":
    main()
