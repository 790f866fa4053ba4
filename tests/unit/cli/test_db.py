"""``python -m service db``."""

import os
import re

from service.jobs.database import open_database
from service.jobs.migrate import FOLDER
from service.jobs.store import open_store
from tests.unit.cli.working import cells, submit, wait_for_age


class TestDatabase:
    NUMBERS = sorted({path.name[:4] for path in FOLDER.glob("*.sql")})

    def test_a_new_one_is_all_pending(self, run):
        result = run("db", "status")

        rows = cells(result.stdout)
        assert rows[0] == ["database: sqlite"]
        assert [(row[0], row[2]) for row in rows if row[0].isdecimal()] == [
            (number, "pending") for number in self.NUMBERS
        ]
        assert "`db migrate` does so now" in result.stdout
        assert result.exit_code == 0

    def test_it_is_brought_up_to_date_once(self, run):
        first, second = run("db", "migrate"), run("db", "migrate")

        assert [line.split()[:2] for line in first.stdout.splitlines()] == [
            ["applied", number] for number in self.NUMBERS
        ]
        assert second.stdout == "nothing is pending\n"
        assert (first.exit_code, second.exit_code) == (0, 0)

    def test_jobs_and_runners_are_told(self, run, store, runner):
        submit(store)
        store.cancel(submit(store))

        rows = cells(run("db", "status").stdout)

        times = [row[2] for row in rows if row[0] in self.NUMBERS]
        assert len(times) == len(self.NUMBERS)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each) for each in times)
        assert ["queued", "1"] in rows
        assert ["cancelled", "1"] in rows
        assert ["failed", "0"] in rows
        assert [row[2] for row in rows if row[0] == runner.runner] == [str(os.getpid())]

    def test_one_of_a_later_version_is_left_alone(self, run, store, url):
        submit(store)
        with open_database(url).transaction() as tx:
            tx.all("add_migration", number=9999, name="later", now=0.0)

        for command in (("db", "status"), ("db", "migrate"), ("jobs", "list")):
            result = run(*command)
            assert (result.exit_code, result.stdout) == (2, "")
            assert result.stderr.startswith("error: the database has migration 9999, which only later")

    def test_on_postgresql(self, run, postgres, monkeypatch):
        url = postgres.new_database()
        monkeypatch.setenv("SERVICE_DATABASE_URL", url)
        store = open_store(url)

        assert run("db", "status").stdout.startswith("database: postgresql\n")
        assert run("db", "migrate").stdout.count("applied") == len(self.NUMBERS)
        jobs = [submit(store) for _ in range(3)]
        assert run("jobs", "cancel", *jobs[:2]).exit_code == 0
        assert [row[0] for row in cells(run("jobs", "list", "--state", "cancelled").stdout)[1:]] == jobs[
            1::-1
        ]
        older = wait_for_age()
        assert run("jobs", "purge", "--older-than", older, "--state", "failed", "--yes").stdout == (
            "removed 0 jobs\n"
        )
        assert run("jobs", "purge", "--older-than", older, "--yes").stdout == "removed 2 jobs\n"
        assert ["queued", "1"] in cells(run("db", "status").stdout)
        store.close()
        postgres.drop_database(url)
