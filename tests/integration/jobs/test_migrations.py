"""The tables come into being once, and refuse by themselves what must not be."""

import contextlib
import re
import sqlite3
from itertools import product

import psycopg
import pytest

from service.errors import ConfigurationError
from service.jobs import migrate
from service.jobs.database import Database, open_database
from service.jobs.migrate import Migrated
from service.jobs.model import State, StoreUnavailable
from service.jobs.store import Store
from tests.integration.jobs.actors import ask, at_once, new_job

REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError)

MOVES = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "expired"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "queued"),
    ("failed", "queued"),
    ("cancelled", "queued"),
    ("expired", "queued"),
}

#: What leads to each state from the beginning.
WAYS = {
    "queued": (),
    "running": ("running",),
    "succeeded": ("running", "succeeded"),
    "failed": ("running", "failed"),
    "cancelled": ("cancelled",),
    "expired": ("expired",),
}

START = """
import sys
from service.jobs import migrate
from service.jobs.database import open_database
database = open_database(sys.argv[1])
print("ready", flush=True)
input()
print(*(migration.name for migration in migrate.apply(database)), flush=True)
"""


def move(database: Database, job: str, state: str) -> None:
    """Move a job as anybody could who can write to the table; all but its state is as it should be."""
    runner = "'somebody'" if state == "running" else "NULL"
    finished = "NULL" if state in ("queued", "running") else "1"
    change = f"state = '{state}', version = version + 1, runner = {runner}, finished_at = {finished}"
    with database.transaction() as tx:
        tx.script(f"UPDATE jobs SET {change} WHERE id = '{job}';")


def can_move(database: Database, job: str, state: str) -> bool:
    with contextlib.suppress(*REFUSED):
        move(database, job, state)
        return True
    with pytest.raises(REFUSED, match="a job does not move between these states"):
        move(database, job, state)
    return False


# Moves


def test_every_move_that_is_not_in_the_table_is_refused(store, database, url):
    made = set()
    for before, after in product(WAYS, repeat=2):
        job, _ = store.submit(new_job())
        for state in WAYS[before]:
            move(database, job.id, state)
        if can_move(database, job.id, after):
            made.add((before, after))
        assert store.get(job.id).state == (after if (before, after) in made else before)

    assert set(WAYS) == set(State)
    assert made == MOVES
    assert set(ask(url, "SELECT from_state, to_state FROM moves")) == MOVES


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
def test_a_job_begins_as_queued(store, url, state):
    job, _ = store.submit(new_job())
    columns = [name for name, *_ in ask(url, columns_of(url))]
    values = ["'other'" if name == "id" else f"'{state}'" if name == "state" else name for name in columns]

    with pytest.raises(REFUSED, match="a job begins as queued"):
        ask(
            url,
            f"INSERT INTO jobs ({', '.join(columns)}) SELECT {', '.join(values)} FROM jobs WHERE id = ?",
            [job.id],
        )

    assert ask(url, "SELECT COUNT(*) FROM jobs") == [(1,)]


def columns_of(url: str) -> str:
    if url.startswith("sqlite"):
        return "SELECT name FROM pragma_table_info('jobs')"
    return "SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs'"


# Other things that a row can't be


@pytest.mark.parametrize(
    "change",
    [
        "state = 'lost'",
        "state = 'running', version = 2",  # by nobody
        "state = 'running', runner = 'somebody'",  # but with the number of the state that it began in
        "state = 'cancelled', version = 2",  # at no time
        "runner = 'somebody'",  # who does not run it
        "finished_at = 1",  # but queued
        "task = NULL",
        "batch = 'none'",
    ],
)
def test_a_row_that_contradicts_itself_is_refused(store, url, change):
    job, _ = store.submit(new_job())

    with pytest.raises(REFUSED):
        ask(url, f"UPDATE jobs SET {change} WHERE id = ?", [job.id])

    assert store.get(job.id) == job


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("payloads", "('{job}', 'other', 'text/plain', '')"),
        ("payloads", "('{job}', 'args', 'text/plain', '')"),  # the second
        ("payloads", "('nobody', 'result', 'text/plain', '')"),
        ("job_log", "('nobody', 1, 1, 1.0, 'stdout', 'hello')"),
        (
            "deliveries",
            "('d', '{job}', 'http://x', 'x', 'job.failed', 'lost', 0, 1.0, NULL, NULL, NULL, 1.0, NULL)",
        ),
    ],
)
def test_what_belongs_to_a_job_is_checked_too(store, url, table, values):
    job, _ = store.submit(new_job())

    with pytest.raises(REFUSED):
        ask(url, f"INSERT INTO {table} VALUES {values.format(job=job.id)}")


# Migrations


def test_what_was_applied_is_told(new_url):
    database = open_database(new_url)
    every = migrate.known(database.dialect)
    try:
        before = migrate.status(database)
        done = migrate.apply(database)
        after = migrate.status(database)
        again = migrate.apply(database)
    finally:
        database.close()

    assert before.applied == []
    assert before.pending == done == every
    assert [(number, name) for number, name, _ in after.applied] == [
        (each.number, each.name) for each in every
    ]
    assert after.pending == again == []


def test_ten_processes_that_start_at_once_apply_each_migration_once(new_url):
    said = at_once(START, new_url, count=10)

    every = [migration.name for migration in migrate.known(new_url.partition(":")[0])]
    assert sorted(said) == [[]] * 9 + [every]
    assert [name for (name,) in ask(new_url, "SELECT name FROM migrations ORDER BY number")] == every


def test_a_migration_that_fails_leaves_nothing(database, url):
    good = "CREATE TABLE extra (n BIGINT NOT NULL);\nINSERT INTO extra VALUES (1);\n"

    with pytest.raises(REFUSED), database.transaction() as tx:
        tx.script(f"{good}CREATE INDEX extra_n ON extra (n);\nINSERT INTO extra VALUES (NULL);")

    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        ask(url, "SELECT * FROM extra")


def test_a_statement_without_an_end_is_not_left_out_in_silence(database, url):
    with pytest.raises((AssertionError, StoreUnavailable)), database.transaction() as tx:
        tx.script("CREATE TABLE extra (n BIGINT);\nCREATE TABLE more (n BIGINT")

    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        ask(url, "SELECT * FROM extra")


def test_a_database_of_a_later_version_is_refused(new_url):
    database = open_database(new_url)
    migrate.apply(database)
    ask(new_url, "INSERT INTO migrations (number, name, applied_at) VALUES (9001, 'later', 1.0)")
    text = "the database has migration 9001, which only later versions of the service know"

    for refuse in (migrate.apply, migrate.status, lambda database: Store(Migrated(database)).counts()):
        with pytest.raises(ConfigurationError, match=re.escape(text)):
            refuse(database)
    database.close()


def test_the_tables_are_made_when_they_are_first_used(new_url):
    store = Store(Migrated(open_database(new_url)))
    try:
        job, _ = store.submit(new_job())
        assert store.get(job.id) == job
    finally:
        store.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_numbers_of_migrations_go_up_by_one(dialect):
    numbers = [migration.number for migration in migrate.known(dialect)]

    assert numbers == list(range(1, len(numbers) + 1))
