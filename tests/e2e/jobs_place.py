"""A database of jobs, processes that work on it, and what must hold when all is over."""

import contextlib
import signal
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.jobs.arguments import JSON
from service.jobs.database import open_database
from service.jobs.migrate import Migrated
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.store import Store
from service.jobs.terms import terms_of
from service.tasks import registry
from service.tasks.strict_json import dumps, loads
from tests.e2e.jobs_tasks import END, START, TWICE
from tests.e2e.running import Service, free_port, is_gone, wait_until
from tests.postgres import PostgresServer

MODULES = ("tests.e2e.jobs_tasks", "tests.e2e.busy_tasks")
DATABASES = ("sqlite", "postgresql")
#: Seconds that a runner may give no sign of life here, and within which its jobs are to go on.
LEASE = 2.0
RECOVERY = LEASE + 2.0
SETTINGS = {
    "SERVICE_TASK_MODULES": ",".join(MODULES),
    "SERVICE_CPU_SLOTS": "4",
    "SERVICE_JOB_SLOTS": "2",
    "SERVICE_POOL_PROCESSES": "4",
    "SERVICE_JOB_LEASE": str(LEASE),
    "SERVICE_JOB_GRACE": "0",
}


class Line(NamedTuple):
    """What a task left in the file; see ``jobs_tasks``."""

    number: int
    attempt: int
    what: str
    pid: int
    ppid: int


class Place:
    """Where the jobs of one test are."""

    def __init__(self, folder: Path, url: str) -> None:
        # Not those of busy_tasks: others are called so in this process, where all tests run.
        registry.load(MODULES[:1])
        self.folder = folder
        self.url = url
        self.trace = folder / "trace"
        self.database = Migrated(open_database(url))
        self.store = Store(self.database)
        #: Ids of jobs by the numbers that they were submitted with.
        self.jobs: dict[int, str] = {}
        self._processes: list[Service] = []

    # Processes

    def start(self, *command: str, **variables: str) -> Service:
        """Start a process with the settings of this place."""
        folder = self.folder / f"process-{len(self._processes)}"
        folder.mkdir()
        given = {"SERVICE_DATABASE_URL": self.url, "SERVICE_RUNTIME_DIR": str(self.folder / "run")}
        given = SETTINGS | given | variables
        self._processes.append(Service(folder, free_port(), command, subprocess.DEVNULL, **given))
        return self._processes[-1]

    def start_runner(self, *command: str, **variables: str) -> Service:
        """Start a runner, and return when it is registered."""
        (runner,) = self.start_runners(command, **variables)
        return runner

    def start_runners(self, *commands: Sequence[str], **variables: str) -> list[Service]:
        """Start some at once: each by its command, or as usual if that is empty."""
        runners = [self.start(*(command or ("service", "runner")), **variables) for command in commands]
        pids = {runner.parent.pid for runner in runners}
        wait_until(lambda: pids <= self.runners().keys(), 20, self.logs)
        return runners

    def serve(self, **variables: str) -> Service:
        """Start all of a service, and return when it answers."""
        service = self.start("service", "serve", **variables)
        service.wait_until_ready()
        return service

    def logs(self) -> str:
        """Return what all processes have logged."""
        return "\n".join(process.log.read_text() for process in self._processes)

    def close(self) -> None:
        """End every process."""
        self.store.close()
        for process in self._processes:
            process.parent.send_signal(signal.SIGINT)
        for process in self._processes:
            process.clean_up()

    # Jobs

    def new_job(self, task: str, number: int, **args: Any) -> NewJob:
        """Return a job of a task of ``jobs_tasks``."""
        content = dumps({"path": str(self.trace), "number": number, **args})
        return NewJob(task, Payload(JSON, content), **terms_of(registry.get(task)))

    def submit(self, task: str, numbers: Iterable[int], **args: Any) -> None:
        """Submit a job for each number, all in one batch."""
        self.submit_all({number: self.new_job(task, number, **args) for number in numbers})

    def submit_all(self, jobs: dict[int, NewJob], **changes: Any) -> None:
        """Submit jobs by their numbers, with changes."""
        _, ids = self.store.submit_batch([replace(job, **changes) for job in jobs.values()], "")
        self.jobs.update(zip(jobs, ids, strict=True))

    def submit_one(self, job: NewJob, number: int) -> str:
        """Submit one job, and return its id."""
        self.jobs[number] = self.store.submit(job)[0].id
        return self.jobs[number]

    def runners(self) -> dict[int, str]:
        """Return the ids of all runners by pid."""
        with self.database.reading() as tx:
            return {row["pid"]: row["id"] for row in tx.all("runners")}

    def listeners(self) -> set[int]:
        """Return the pids of those who have hung up a bell beside an SQLite file, to hear of work."""
        return {int(path.name.partition("-")[0]) for path in self.folder.glob("jobs.db-bells/work/[!.]*")}

    def held_by(self, runner: str) -> set[str]:
        """Return the ids of the jobs that a runner has, or has got by what it did last."""
        with self.database.transaction() as tx:
            if self.database.dialect == "postgresql":
                # The server may still be about to commit what a runner asked it to that was killed since.
                tx.script("LOCK TABLE runners IN SHARE MODE")
            return {row["id"] for row in tx.all("jobs_of_runner", runner=runner)}

    def lines(self) -> list[Line]:
        """Return what tasks have left in the file."""
        if not self.trace.exists():
            return []
        rows = (line.split() for line in self.trace.read_text().splitlines())
        return [Line(int(row[0]), int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows]

    def wait_for_start(self, number: int, attempt: int = 1) -> Line:
        """Return the line of a job's start, once it is there."""
        lines: list[Line] = []

        def has_started() -> bool:
            lines[:] = [line for line in self.lines() if line[:3] == (number, attempt, START)]
            return bool(lines)

        wait_until(has_started, 20, self.logs)
        return lines[0]

    def wait_for_lines(self, count: int, within: float = 20) -> None:
        """Return when there are so many lines."""
        wait_until(lambda: len(self.lines()) >= count, within, self.logs)

    def wait_until_all_ended(self, within: float = 40) -> None:
        """Return when every job is in a final state."""

        def have_ended() -> bool:
            counts = self.store.counts()
            return not counts.get(State.QUEUED) and not counts.get(State.RUNNING)

        wait_until(have_ended, within, lambda: f"{self.store.counts()}\n{self.logs()}")

    def found(self) -> dict[str, Job]:
        """Return every job by its id."""
        jobs, more = self.store.list(limit=100_000)
        assert more is None
        return {job.id: job for job in jobs}

    # What must hold

    def assert_all_done(self, again: Collection[str] = (), *, crashed: bool = True) -> None:
        """Every job has succeeded, once; those in ``again``, and only they, had a second attempt."""
        found = self.found()
        for identity in self.jobs.values():
            job, more = found[identity], int(identity in again)
            counts = (job.attempts, job.crashes, job.failures)
            assert counts == (1 + more, more * crashed, 0), (job, self.store.log(identity))
        self.assert_each_succeeded_once()

    def assert_each_succeeded_once(self) -> None:
        """Every job has succeeded, none more than once, and none ran twice at a time."""
        found = self.found()
        for number, identity in self.jobs.items():
            job, result = found[identity], self.store.result(identity)
            assert job.state == State.SUCCEEDED, (job, self.store.log(identity))
            # Each attempt is one move to running and one away from it.
            assert job.version == 1 + 2 * job.attempts, (job, self.store.log(identity))
            assert result is not None
            assert loads(result.content) == number
        waited = [identity for identity in self.jobs.values() if found[identity].task != "compute"]
        followed = Counter(job.parent for job in found.values() if job.task == "count_success")
        assert followed == Counter(waited)
        self._assert_none_ran_twice()

    def _assert_none_ran_twice(self) -> None:
        lines = self.lines()
        assert not [line for line in lines if line.what == TWICE]
        assert max(Counter(line[:3] for line in lines).values()) == 1
        assert {line.number for line in lines if line.what == END} >= set(self.jobs)


@contextlib.contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """Open a place on the kind of database that a fixture's parameter names."""
    if request.param == "sqlite":
        with contextlib.closing(Place(folder, f"sqlite:///{folder}/jobs.db")) as place:
            yield place
    else:
        with on_server(request.getfixturevalue("postgres"), folder) as place:
            yield place


@contextlib.contextmanager
def on_server(server: PostgresServer, folder: Path) -> Iterator[Place]:
    """Open a place on a new database of a server."""
    url = server.new_database()
    with contextlib.closing(Place(folder, url)) as place:
        yield place
    server.drop_database(url)


def kill(process: Service) -> None:
    """Kill a process, and see that all below it goes with it."""
    below = process.processes()
    process.parent.send_signal(signal.SIGKILL)
    process.parent.wait()
    wait_until(lambda: all(map(is_gone, below)), 5, lambda: f"left: {below}")
