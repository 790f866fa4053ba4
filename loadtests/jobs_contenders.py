"""Those that ``bench_jobs`` compares, as far as they are installed here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from loadtests.jobs_everycore import Everycore
from loadtests.jobs_programs import find_postgres, find_redis, postgres
from loadtests.jobs_queue import Contender, Queue

#: Processes of each, and CPU slots of Everycore's jobs; on two CPUs these have one by default.
PROCESSES = 2

SQLITE, POSTGRES, REDIS = "SQLite FULL", "PostgreSQL", "Redis fsync"
NO_POSTGRES = "PostgreSQL is not installed; on Debian and Ubuntu: apt install postgresql"
NO_REDIS = "Redis is not installed; on Debian and Ubuntu: apt install redis-server"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another queue."""

    library: str
    #: Where its ``Queue`` is: it imports the library.
    module: str
    kind: str
    store: str

    def missing(self) -> str | None:
        """Return what it lacks here."""
        if importlib.util.find_spec(self.library) is None:
            return f"{self.library} is not installed"
        return NO_REDIS if self.store == REDIS and not find_redis() else None

    def contender(self, name: str) -> Contender:
        """Return it for use."""
        kind = getattr(importlib.import_module(self.module), self.kind)
        return Contender(name, self.store, PROCESSES, lambda folder: kind.open(folder, PROCESSES))


PEERS = {
    "huey": Peer("huey", "loadtests.jobs_huey", "Huey", SQLITE),
    "rq": Peer("rq", "loadtests.jobs_rq", "Rq", REDIS),
    "rq-simple": Peer("rq", "loadtests.jobs_rq", "RqWithoutForks", REDIS),
    "celery": Peer("celery", "loadtests.jobs_celery", "Celery", REDIS),
}
#: In the order of the table.
EVERYCORE, ONE_SLOT, ON_POSTGRES = "everycore", "everycore-1", "everycore-pg"
NAMES = (EVERYCORE, ONE_SLOT, ON_POSTGRES, *PEERS)


def ready(names: Sequence[str], stack: ExitStack) -> tuple[list[Contender], dict[str, str]]:
    """Return those of the names that can be measured, and by name what the others lack.

    What they have in common is started, and ended with the stack.
    """
    found, lacking = [], {}
    for name in names:
        if missing := _missing(name):
            lacking[name] = missing
        else:
            found.append(_contender(name, stack))
    return found, lacking


def _missing(name: str) -> str | None:
    if name == ON_POSTGRES:
        return None if find_postgres() else NO_POSTGRES
    return PEERS[name].missing() if name in PEERS else None


def _contender(name: str, stack: ExitStack) -> Contender:
    if name in PEERS:
        return PEERS[name].contender(name)
    if name == ON_POSTGRES:
        new_database = stack.enter_context(postgres())
        return Contender(name, POSTGRES, PROCESSES, _everycore(PROCESSES, lambda _: new_database()))
    processes = 1 if name == ONE_SLOT else PROCESSES
    return Contender(
        name, SQLITE, processes, _everycore(processes, lambda folder: f"sqlite:///{folder}/jobs.db")
    )


def _everycore(
    processes: int, database: Callable[[Path], str]
) -> Callable[[Path], AbstractContextManager[Queue]]:
    return lambda folder: Everycore.open(folder, processes, database(folder))
