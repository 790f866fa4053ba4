"""Named queries in the form that a database takes."""

import re
import sqlite3
from pathlib import Path

import pytest

from service.jobs import queries

SOURCES = Path(queries.__file__).parent
#: Something for every list that a query takes.
LISTS = dict.fromkeys(re.findall(r":(\w+)\*", (SOURCES / "queries.sql").read_text()), ("a", "b"))


def test_every_query_is_asked_for_and_every_one_that_is_asked_for_is_there():
    text = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    asked = set(re.findall(r'tx\.(?:all|many)\(\s*"(\w+)"', text))

    assert asked <= queries.names()
    assert {name for name in queries.names() if f'"{name}"' not in text} == set()


def test_parameters_are_written_as_each_database_takes_them():
    given = {"id": "x", "kind": "args", "job": "j"}

    assert queries.sqlite("payload", given) == (
        "SELECT media_type, content FROM payloads WHERE job = :job AND kind = :kind",
        given,
    )
    assert queries.postgres("payload", given) == (
        "SELECT media_type, content FROM payloads WHERE job = %(job)s AND kind = %(kind)s",
        given,
    )


def test_a_list_is_written_out():
    text, given = queries.sqlite("args", {"jobs": ("a", "b")})
    assert text.endswith("job IN (:jobs_0, :jobs_1)")
    assert given == {"jobs_0": "a", "jobs_1": "b"}

    text, given = queries.postgres("args", {"jobs": ("a",)})
    assert text.endswith("job IN (%(jobs_0)s)")
    assert given == {"jobs_0": "a"}


def test_a_list_of_none_is_written_as_one():
    for render in (queries.postgres, queries.sqlite):
        text, given = render("args", {"jobs": ()})
        assert text.endswith("job IN (SELECT NULL WHERE 1 = 0)")
        assert given == {}


def test_rows_are_locked_where_several_can_write():
    texts = {name: queries.postgres(name, {"tasks": ("a",)})[0] for name in ("claimable", "job_to_change")}

    assert texts["claimable"].endswith("LIMIT %(limit)s FOR UPDATE SKIP LOCKED")
    assert texts["job_to_change"].endswith("FOR NO KEY UPDATE")
    assert "FOR " not in queries.sqlite("job_to_change", {})[0]


def test_filters_stand_where_they_belong():
    text, given = queries.sqlite("list_jobs", {"before": "g", "s": ("a", "b")}, "AND state IN (:s*)")

    assert "WHERE id < :before AND state IN (:s_0, :s_1) ORDER BY" in text
    assert given == {"before": "g", "s_0": "a", "s_1": "b"}


@pytest.mark.parametrize("name", sorted(queries.names()))
def test_comments_stay_in_the_file(name):
    text, _ = queries.sqlite(name, LISTS)

    assert "--" not in text
    assert ";" not in text


@pytest.fixture(scope="module")
def tables():
    file = sqlite3.connect(":memory:", isolation_level=None)
    for path in sorted((SOURCES / "migrations").glob("*.sql")):
        if "postgresql" not in path.name:
            file.executescript(path.read_text())
    file.execute(queries.sqlite("make_migrations", {})[0])
    yield file
    file.close()


@pytest.mark.parametrize("name", sorted(queries.names() - {"list_jobs_of_states"}))
def test_every_query_is_one_that_the_tables_can_answer(tables, name):
    text, _ = queries.sqlite(name, LISTS)
    parameters = dict.fromkeys(re.findall(r":(\w+)", text))

    tables.execute(f"EXPLAIN {text}", parameters)


@pytest.mark.parametrize("name", sorted(queries.names()))
def test_every_query_is_written_for_psycopg(name):
    text, _ = queries.postgres(name, LISTS)

    assert text.count("%") == len(re.findall(r"%\(\w+\)s", text)), "any other would have to be doubled"
    assert ":" not in text
