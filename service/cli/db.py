"""``python -m service db``: the database that jobs are kept in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from service import settings as configuration
from service.cli.console import explained, print_table
from service.cli.job_words import moment
from service.jobs import migrate as migrations
from service.jobs.database import Database, open_database
from service.jobs.model import State
from service.jobs.store import Store


@click.group()
def db() -> None:
    """Look at the database that jobs are kept in, and bring it up to date."""


@contextlib.contextmanager
def _opened() -> Iterator[Database]:
    with explained():
        url = configuration.load().database_url.get_secret_value()
        with contextlib.closing(open_database(url)) as database:
            yield database


@db.command()
def status() -> None:
    """Show what kind of database it is, its migrations, how many jobs there are, and who runs them.

    A runner that died is listed until others have taken its jobs over.
    """
    with _opened() as database:
        found = migrations.status(database)
        click.echo(f"database: {database.dialect}\n")
        applied = [(f"{number:04}", name, moment(at)) for number, name, at in found.applied]
        pending = [(f"{each.number:04}", each.name, "pending") for each in found.pending]
        print_table(("migration", "name", "applied"), [*applied, *pending])
        if found.pending:
            click.echo("\nthe service applies what is pending when it starts; `db migrate` does so now")
        else:
            click.echo()
            _print_content(database)


def _print_content(database: Database) -> None:
    counts = Store(database).counts()
    print_table(("state", "jobs"), [(state, str(counts.get(state, 0))) for state in State])
    with database.reading() as tx:
        runners = tx.all("runners")
    click.echo()
    print_table(
        ("runner", "host", "pid", "since"),
        [(row["id"], row["host"], str(row["pid"]), moment(row["started_at"])) for row in runners],
    )


@db.command()
def migrate() -> None:
    """Bring the database up to date: apply the migrations that are pending, all of them or none.

    The service does so by itself; this is for who wants it done before.
    """
    with _opened() as database:
        applied = migrations.apply(database)
    for each in applied:
        click.echo(f"applied {each.number:04} {each.name}")
    if not applied:
        click.echo("nothing is pending")
