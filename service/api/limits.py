"""How much one API key may ask for, counted in all workers together.

at once        a lock on one byte of a file for each request in progress (service.engine.slots): the kernel
               gives it back when a worker dies
in a minute    the times of each key's last requests, in an SQLite file: a request passes when the N-th last
               one is more than 60 seconds ago. So no 60 seconds hold more than N, wherever they begin; what
               counts in whole minutes or by token bucket lets up to twice as many through

Both files are in ``SERVICE_RUNTIME_DIR``; losing them loses nothing but a minute's count.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.jobs.turns import at_the_gate

WINDOW = 60.0

# NORMAL: a power failure may take the last counts along, but never breaks the file.
_SET_UP = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS passed (
    key    TEXT NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    PRIMARY KEY (key, number)
) WITHOUT ROWID;
"""
_LAST = "SELECT coalesce(max(number), 0) FROM passed WHERE key = ?"
_AT = "SELECT at FROM passed WHERE key = ? AND number = ?"
_COUNT = "INSERT INTO passed (key, number, at) VALUES (?, ?, ?)"
_FORGET = "DELETE FROM passed WHERE key = ? AND number <= ?"


class Rate:
    """Requests in any 60 seconds, by key; any thread and any process may ask."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        """Keep the count in the file ``path``; ``now`` is a clock that all processes share."""
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def take(self, key: str, most: int) -> float:
        """Count a request; return 0, or the seconds until one may pass again if this one may not."""
        with self._lock:
            database = self._connected()
            # Nobody else counts until the end of the transaction: the clock is read in that order too.
            database.execute("BEGIN IMMEDIATE")
            try:
                wait = self._take(database, key, most)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            return wait

    def _take(self, database: sqlite3.Connection, key: str, most: int) -> float:
        now = self._now()
        (last,) = database.execute(_LAST, (key,)).fetchone()
        oldest = database.execute(_AT, (key, last + 1 - most)).fetchone()
        # A time in the future is from before the machine's last start.
        if oldest is not None and now - WINDOW < oldest[0] <= now:
            return float(oldest[0]) + WINDOW - now
        database.execute(_COUNT, (key, last + 1, now))
        database.execute(_FORGET, (key, last + 1 - most))
        return 0.0

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
            # SQLite does not wait for others when it changes the journal's mode; it fails.
            with at_the_gate(self._path.with_suffix(".lock"), math.inf):
                connection.executescript(_SET_UP)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Close the file; the next request opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
