"""With a hundred thousand jobs, each question is answered by an index: nothing is scanned or sorted."""

import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
from psycopg import sql

from service.jobs import migrate, queries
from service.jobs.claims import Claims
from service.jobs.database import Database, open_database
from service.jobs.model import State
from service.jobs.store import Store
from tests.integration.jobs.actors import TASKS, ask, claim, new_job

FIRST = "00000000-0000-7000-8000-000000000000"
BATCH = "00040000-0000-7000-8000-000000000000"
LIMIT = 101
#: When the 45 000th would have been submitted, by its id.
MOMENT = 0x0004_5000_0000 / 1000

#: Name of a query, its parameters, and the indexes that may lead to the rows of jobs.
QUESTIONS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("claimable", {"cpu": 1, "tasks": TASKS, "now": 5.0, "limit": 64}, {"jobs_claim"}),
    ("claimable", {"cpu": 0, "tasks": TASKS, "now": 5.0, "limit": 8}, {"jobs_claim"}),
    ("make_ready", {"now": 9000.0, "limit": 500}, {"jobs_due", "id"}),
    ("next_due", {}, {"jobs_due"}),
    ("expire", {"now": 210_000.0, "limit": 500}, {"jobs_expiry", "id"}),
    ("next_expiry", {}, {"jobs_expiry"}),
    ("standing", {"alive": 5.0}, {"jobs_state", "jobs_due"}),
    ("purge_batches", {"before": "00050000", "limit": 500}, {"jobs_batch"}),
    ("cancels", {"runner": "first"}, {"jobs_running"}),
    ("jobs_of_runner", {"runner": "first"}, {"jobs_running"}),
    ("batch_counts", {"batch": BATCH}, {"jobs_batch"}),
    ("batch_to_change", {"batch": BATCH}, {"jobs_batch"}),
    ("cancel_queued_of_batch", {"batch": BATCH, "now": 5.0}, {"jobs_batch"}),
    ("cancel_running_of_batch", {"batch": BATCH}, {"jobs_batch"}),
    ("job", {"id": FIRST}, {"id"}),
    ("job_of_key", {"owner": "", "idempotency_key": "k"}, {"jobs_idempotency"}),
]

#: Those that bring up to 10 000 rows of one batch, or some hundred that have expired, into order.
SORTED = {"batch_to_change", "expire"}

#: Indexes by what they need to be given, the best first.
LEADING = {"batch": "jobs_batch", "task": "jobs_task", "states": "jobs_state"}

SOME, SEVERAL = (State.FAILED,), (State.RUNNING, State.FAILED)
LISTS: list[dict[str, Any]] = [
    {},
    {"states": (State.QUEUED,)},
    {"states": SOME},
    {"states": SEVERAL},
    {"states": tuple(State)},
    {"task": "add"},
    {"task": "rare"},
    {"task": "none"},
    {"task": "wait", "states": SOME},
    {"task": "rare", "states": (State.SUCCEEDED,)},
    {"task": "rare", "states": SEVERAL},
    {"batch": BATCH},
    {"batch": BATCH, "states": (State.QUEUED,)},
    {"batch": BATCH, "states": SOME},
    {"batch": BATCH, "states": SEVERAL},
    {"batch": BATCH, "task": "rare"},
    {"since": MOMENT},
    {"since": MOMENT, "states": SOME},
    {"until": MOMENT},
    {"until": MOMENT, "task": "wait", "states": (State.QUEUED, State.SUCCEEDED)},
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowd(request, tmp_path_factory) -> Iterator[str]:
    """Return the address of a database with many jobs."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path_factory.mktemp('crowd')}/jobs.db"
    else:
        address = request.getfixturevalue("postgres").new_database()
    database = open_database(address)
    migrate.apply(database)
    with database.transaction() as tx:
        tx.script((Path(__file__).parent / "crowd.sql").read_text())
    database.close()
    if request.param == "postgresql":
        ask(address, "ANALYZE")
    yield address
    if request.param == "postgresql":
        request.getfixturevalue("postgres").drop_database(address)


@pytest.fixture
def crowded(crowd) -> Iterator[Database]:
    database = open_database(crowd)
    yield database
    database.close()


# Plans


@dataclass
class Plan:
    """How a database would answer a question."""

    #: Indexes of jobs that it uses; ``id`` is that of the primary key.
    indexes: set[str]
    #: Whether it reads the whole table of jobs.
    scans: bool
    #: Rows that it sorts; infinite where SQLite, which does not say how many, sorts at all.
    sorted: float
    #: Rows of jobs that it reads, on PostgreSQL.
    read: float = 0


def plans_of(url: str, name: str, given: dict[str, Any], filters: str = "") -> list[Plan]:
    """Return the plan for the first time, and for when a question is asked often."""
    if url.startswith("sqlite"):
        return [sqlite_plan(url, *queries.sqlite(name, given, filters))]
    # What has filters is not prepared, so it is planned for its parameters each time.
    return postgres_plans(url, *queries.postgres(name, given, filters), times=1 if filters else 8)


def sqlite_plan(url: str, text: str, values: Any) -> Plan:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        details = [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    said = " | ".join(details)
    indexes = set(re.findall(r"jobs USING (?:COVERING )?INDEX (\w+)", said))
    return Plan(
        {"id" if index == "sqlite_autoindex_jobs_1" else index for index in indexes},
        "SCAN jobs" in said,
        math.inf if "FOR ORDER BY" in said else 0,
    )


def postgres_plans(url: str, text: str, values: Any, times: int) -> list[Plan]:
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, name in enumerate(names, 1):
        text = text.replace(f"%({name})s", f"${number}")
    kinds = {State: "text", str: "text", int: "bigint", float: "double precision"}
    types = ", ".join(kinds[type(values[name])] for name in names)
    with psycopg.connect(url, autocommit=True) as connection:
        literals = ", ".join(sql.Literal(values[name]).as_string(connection) for name in names)
        call = f"EXECUTE question ({literals})" if names else "EXECUTE question"
        connection.execute(f"PREPARE question {f'({types})' if names else ''} AS {text}")
        return [postgres_plan(connection, call) for _ in range(times)]


def postgres_plan(connection: psycopg.Connection, call: str) -> Plan:
    with connection.transaction(force_rollback=True):
        row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {call}").fetchone()
    assert row
    nodes = list(all_nodes(row[0][0]["Plan"]))
    readers = [node for node in nodes if "Scan" in node["Node Type"] and is_of_jobs(node)]
    return Plan(
        {node["Index Name"].replace("jobs_pkey", "id") for node in readers if "Index Name" in node},
        any(node["Node Type"] == "Seq Scan" for node in readers),
        sum(node["Actual Rows"] for node in nodes if "Sort" in node["Node Type"]),
        sum(rows_read(node) for node in readers),
    )


def all_nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from all_nodes(below)


def is_of_jobs(node: dict[str, Any]) -> bool:
    return node.get("Relation Name") == "jobs" or node.get("Index Name", "").startswith("jobs_")


def rows_read(node: dict[str, Any]) -> float:
    return float(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))


@pytest.mark.parametrize(("name", "given", "indexes"), QUESTIONS)
def test_questions_are_answered_by_their_indexes(crowd, name, given, indexes):
    for plan in plans_of(crowd, name, given):
        assert not plan.scans
        assert plan.indexes == indexes
        assert name in SORTED or not plan.sorted


class Asked:
    """A database that notes what it is asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, dict[str, Any], str]] = []

    def reading(self) -> AbstractContextManager[Any]:
        return nullcontext(self)

    transaction = reading

    def all(self, name: str, *, filters: str = "", **given: Any) -> list[Any]:
        self.questions.append((name, given, filters))
        return []


@pytest.mark.parametrize("given", LISTS, ids=repr)
def test_lists_are_found_by_an_index_and_not_sorted(crowd, given):
    asked: Any = Asked()
    Store(asked).list(**given, limit=LIMIT - 1)

    (question,) = asked.questions
    for plan in plans_of(crowd, *question):
        assert not plan.scans
        if crowd.startswith("sqlite"):
            leading = [index for name, index in LEADING.items() if name in given]
            assert plan.indexes - {"id"} == set(leading[:1])
            assert not plan.sorted
        else:  # it knows how many rows there are of each kind, and chooses accordingly
            assert plan.read <= 3 * LIMIT * len(State)
            assert plan.sorted <= 3 * LIMIT * len(State)


@pytest.mark.parametrize("states", [(), SOME, SEVERAL])
def test_old_jobs_are_removed_in_the_order_of_their_ends(crowd, states):
    asked: Any = Asked()
    Store(asked).purge(50_000.0, 500, states)

    for plan in plans_of(crowd, *asked.questions[0]):
        assert not plan.scans
        assert not plan.sorted
        assert plan.indexes == {"jobs_finished"}


@pytest.mark.parametrize("given", LISTS, ids=repr)
def test_a_list_takes_less_than_20_ms(crowded, given):
    store = Store(crowded)
    times = [seconds(lambda: store.list(**given)) for _ in range(5)]

    assert median(times) < 0.02, times


def seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# Times


def test_a_claim_takes_as_long_among_many_as_among_few(crowded, tmp_path, crowd, request):
    """The ratio of the medians, in turns, so that what else the machine does concerns both."""
    if crowd.startswith("sqlite"):
        address = f"sqlite:///{tmp_path}/few.db"
    else:
        address = request.getfixturevalue("postgres").new_database()
    few = open_database(address)
    migrate.apply(few)
    Store(few).submit_batch([new_job() for _ in range(1000)], "")
    runners = [Claims(database, TASKS) for database in (few, crowded)]
    with crowded.transaction() as tx:  # arguments of those that are next
        next_ones = tx.all("claimable", cpu=1, tasks=TASKS, now=5.0, limit=600)
        for row in next_ones:
            tx.all("add_payload", job=row["id"], kind="args", media_type="application/json", content=b"{}")
    for runner in runners:
        runner.register()
        claim(runner, 1)

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(30):
        for runner, taken in zip(runners, times, strict=True):
            taken.append(seconds(partial(claim, runner, 16)))
    for runner in runners:
        runner.leave()
    few.close()

    among_few, among_many = map(median, times)
    assert among_many < 3 * among_few, times
