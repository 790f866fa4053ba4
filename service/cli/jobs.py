"""``python -m service jobs``: what an operator asks of jobs, wherever they run."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import click

from service import settings as configuration
from service.cli import job_words, options
from service.cli.console import FAILED, explained, print_columns, print_error, print_table
from service.jobs.model import JobNotFound, LogLine, State, WrongState
from service.jobs.store import Store, open_store

#: Lines of a log that are read at once.
PAGE = 1000


@click.group()
def jobs() -> None:
    """Look at background jobs, cancel them, have them tried again, remove old ones.

    This works on the database, also while no service runs. Exit status 1 means that something could not be
    done; standard error says what.
    """


@contextlib.contextmanager
def _opened() -> Iterator[Store]:
    with explained():
        url = configuration.load().database_url.get_secret_value()
        with contextlib.closing(open_store(url)) as store:
            yield store


@jobs.command("list")
@click.option(
    "--state",
    "states",
    metavar="STATES",
    callback=options.states,
    help="Only jobs in these states, separated by commas: queued,failed.",
)
@click.option("--task", metavar="NAME", callback=options.task_name, help="Only jobs of this task.")
@click.option("--batch", metavar="ID", type=click.UUID, help="Only jobs of this batch.")
@click.option(
    "--since",
    metavar="TIME",
    callback=options.moment,
    help="Only jobs that were submitted since: 2h (ago), or 2026-01-31T12:00:00Z.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object in each line.")
def list_jobs(
    *,
    states: Sequence[State],
    task: str | None,
    batch: uuid.UUID | None,
    since: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the newest jobs, newest first.

    Under `time` stands how long a job has waited or run so far, or how long its last attempt ran.
    """
    with _opened() as store:
        found, cursor = store.list(
            states=states, task=task, batch=str(batch) if batch else None, since=since, limit=limit
        )
    if as_json:
        for job in found:
            click.echo(job_words.document(job))
    else:
        now = time.time()
        print_table(job_words.TITLES, [job_words.row(job, now) for job in found])
    if cursor is not None:
        click.echo(f"there are more than {limit}; --limit shows more of them", err=True)


@jobs.command()
@click.argument("job_id", metavar="ID", type=click.UUID)
@click.option("--log", "with_log", is_flag=True, help="Print its log, too.")
@click.option("--json", "as_json", is_flag=True, help="Print all as one JSON object.")
def show(job_id: uuid.UUID, *, with_log: bool, as_json: bool) -> None:
    """Show everything about a job: times, attempts, arguments, result, error, messages to its webhook.

    Long texts are cut, except in JSON; results that are not JSON are told by their size.
    """
    identity = str(job_id)
    with _opened() as store:
        job = store.get(identity)
        about = store.args(identity), store.result(identity), store.deliveries(identity)
        log = list(_log(store, identity)) if with_log else None
    if as_json:
        click.echo(job_words.whole_document(job, *about, log))
        return
    print_columns(job_words.details(job, *about, time.time()))
    if log is not None:
        click.echo()
        print_columns([job_words.log_row(line) for line in log])


def _log(store: Store, job: str) -> Iterator[LogLine]:
    after = 0
    while lines := store.log(job, after=after, limit=PAGE):
        yield from lines
        after = lines[-1].seq


@jobs.command()
@click.argument("job_ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)
def cancel(job_ids: Sequence[uuid.UUID]) -> None:
    """Cancel jobs that have not ended.

    One that waits is cancelled at once; one that runs is killed by its runner, in a moment if that lives.
    """

    def act(store: Store, job: str) -> str:
        state = store.cancel(job).state
        return "cancelled" if state is State.CANCELLED else "runs; its runner was told to kill it"

    _for_each(job_ids, act)


@jobs.command()
@click.argument("job_ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)
def retry(job_ids: Sequence[uuid.UUID]) -> None:
    """Have jobs tried again that failed, expired or were cancelled.

    Each has as many attempts as it had at first, and its turn at once.
    """

    def act(store: Store, job: str) -> str:
        return store.retry(job).state

    _for_each(job_ids, act)


def _for_each(job_ids: Sequence[uuid.UUID], act: Callable[[Store, str], str]) -> None:
    """Do it with each job, whatever becomes of the others, and say what happened."""
    all_done = True
    with _opened() as store:
        for job in dict.fromkeys(map(str, job_ids)):
            try:
                click.echo(f"{job}: {act(store, job)}")
            except (JobNotFound, WrongState) as error:
                print_error(error)
                all_done = False
    if not all_done:
        sys.exit(FAILED)


@jobs.command()
@click.option(
    "--older-than",
    metavar="DURATION",
    callback=options.duration,
    required=True,
    help="How long ago they ended at the latest: 12h, 7d.",
)
@click.option(
    "--state",
    "states",
    metavar="STATES",
    callback=options.final_states,
    help="Only jobs in these states, separated by commas: failed,cancelled.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(*, older_than: float, states: Sequence[State], yes: bool) -> None:
    """Remove jobs that ended long ago, with their results and logs.

    Runners do so by themselves after SERVICE_JOB_TTL seconds. Jobs that have not ended stay.
    """
    before = time.time() - older_than
    if not yes and not sys.stdin.isatty():
        print_error("there is nobody to ask here; --yes removes without asking")
        sys.exit(FAILED)
    with _opened() as store:
        if not yes:
            count = store.count_ended(before, states)
            click.confirm(f"Remove {count} jobs that ended before {job_words.moment(before)}?", abort=True)
        removed = 0
        while step := store.purge(before, states=states):
            removed += step
    click.echo(f"removed {removed} jobs")
