"""Who changes something wakes who waits for it, in every process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from service.jobs import migrate
from service.jobs.database import CHANGES, WORK, open_database
from service.jobs.model import StoreUnavailable
from service.jobs.store import Store
from tests.integration.jobs.actors import TERMINATE, ask, listen_to_the_end, new_job, python, rings, said

#: Says when it hears a bell.
LISTEN = """
import select, sys, time
from service.jobs.database import open_database

listener = open_database(sys.argv[1]).listen(sys.argv[2])
poll = select.poll()
poll.register(listener.fileno(), select.POLLIN)
print("ready", flush=True)
for _ in sys.stdin:
    assert poll.poll(20_000)
    heard = time.monotonic()
    listener.hear()
    print(heard, flush=True)
"""


def test_a_bell_rings_when_the_transaction_is_committed(database):
    with closing(database.listen(WORK)) as first, closing(database.listen(WORK)) as second:
        with database.transaction() as tx:
            tx.ring(WORK)
            tx.ring(WORK)
            assert not rings(first)

        assert rings(first, 5)
        assert rings(second, 5)
        assert not rings(first), "it has heard all"


def test_who_listens_to_one_topic_does_not_hear_the_other(database):
    with closing(database.listen(CHANGES)) as listener:
        with database.transaction() as tx:
            tx.ring(WORK)
        assert not rings(listener, 0.05)
        with database.transaction() as tx:
            tx.ring(CHANGES)
        assert rings(listener, 5)


def test_what_clients_do_is_heard(store, database):
    def heard(topic: str, act: Any) -> Any:
        with closing(database.listen(topic)) as listener:
            result = act()
            assert rings(listener, 5)
        return result

    job = heard(WORK, lambda: store.submit(new_job()))[0]
    heard(WORK, lambda: store.submit_batch([new_job()], ""))
    heard(CHANGES, lambda: store.cancel(job.id))
    heard(WORK, lambda: store.retry(job.id))
    heard(WORK, lambda: store.cancel(job.id))
    heard(CHANGES, lambda: store.delete(job.id))


@pytest.mark.parametrize("topic", [WORK, CHANGES])
def test_another_process_hears_within_50_ms(database, url, topic):
    with python(LISTEN, url, topic) as other:
        assert said(other) == "ready"
        delays = []
        for _ in range(9):
            with database.transaction() as tx:
                tx.ring(topic)
                rung = time.monotonic()
            delays.append(float(said(other, "listen")) - rung)
        assert other.stdin
        other.stdin.close()

    assert median(delays) < 0.05, delays


def test_a_listener_hears_when_it_will_hear_no_more(shared_url):
    database = open_database(shared_url)
    with closing(database.listen(WORK)) as listener:
        ask(shared_url, TERMINATE)
        with pytest.raises(StoreUnavailable):
            listen_to_the_end(listener)
    database.close()


@pytest.fixture
def beside(tmp_path) -> Iterator[tuple[Any, Path]]:
    """Return a SQLite database, and the folder of the bells beside it."""
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    yield database, tmp_path / "jobs.db-bells" / WORK
    database.close()


def ring(database: Any) -> None:
    with database.transaction() as tx:
        tx.ring(WORK)


def test_the_bell_of_a_dead_process_is_taken_down(beside):
    database, folder = beside
    with closing(database.listen(WORK)) as listener:
        mine = set(folder.iterdir())
        with python(LISTEN, f"sqlite:///{folder.parents[1]}/jobs.db", WORK) as other:
            assert said(other) == "ready"
            assert len(set(folder.iterdir())) == 2
            other.kill()

        ring(database)

        assert set(folder.iterdir()) == mine
        assert rings(listener)
    assert list(folder.iterdir()) == []


def test_the_bell_of_a_process_that_is_not_seen_from_here_stays(beside):
    """Containers that share a file have numbers of processes of their own."""
    database, folder = beside
    with closing(database.listen(WORK)) as listener:
        (bell,) = folder.iterdir()
        bell = bell.rename(folder / "4194305-00000000")  # a greater number than a process can have

        ring(database)

        assert rings(listener)
        assert list(folder.iterdir()) == [bell]
        bell.unlink()


def test_what_can_not_be_rung_for_another_reason_stays(beside):
    database, folder = beside
    folder.mkdir(parents=True)
    loop = folder / "1-00000000"
    loop.symlink_to(loop)

    ring(database)

    assert loop.is_symlink()


def test_a_bell_that_nobody_hears_for_long_does_not_hold_anybody_up(beside):
    database, _ = beside
    with closing(database.listen(WORK)) as listener:
        fcntl.fcntl(listener.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        while os.write(listener.fileno(), bytes(4096)) == 0:
            pass

        ring(database)

        assert rings(listener)
        assert not rings(listener)


def test_bells_that_cant_be_rung_do_not_undo_what_is_committed(beside):
    database, folder = beside
    migrate.apply(database)
    folder.parent.mkdir()
    folder.write_text("not a folder")

    job, _ = Store(database).submit(new_job())

    assert Store(database).get(job.id) == job
