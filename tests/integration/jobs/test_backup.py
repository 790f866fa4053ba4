"""What ``docs/how-to/operate.md`` says about backups of SQLite."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing

from service.jobs import migrate
from service.jobs.database import open_database
from service.jobs.store import Store
from tests.integration.jobs.actors import new_job
from tests.observability import OPERATE


def test_the_command_makes_a_copy_while_the_database_is_in_use(tmp_path):
    (command,) = re.findall(r"^\.venv/bin/python (-c '.*VACUUM.*')$", OPERATE.read_text(), re.MULTILINE)
    (tmp_path / "var").mkdir()

    with closing(open_database(f"sqlite:///{tmp_path}/var/everycore.db")) as database:
        migrate.apply(database)
        before, _ = Store(database).submit(new_job())
        subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True)
        after, _ = Store(database).submit(new_job())

    with closing(open_database(f"sqlite:///{tmp_path}/backup.db")) as copy:
        jobs, _ = Store(copy).list()
        assert before.id in {job.id for job in jobs}
        assert after.id not in {job.id for job in jobs}
    with closing(sqlite3.connect(tmp_path / "backup.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
