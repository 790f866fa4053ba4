"""A runner in this process, with real pool processes, on a real database."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from service import work
from service.engine.local import LocalEngine
from service.engine.traced import traced
from service.jobs.database import Database, open_database
from service.jobs.migrate import Migrated
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.runner import Runner
from service.jobs.store import Store
from service.jobs.terms import terms_of
from service.settings import Settings
from service.tasks import contract, registry
from service.tasks.strict_json import dumps, loads
from service.telemetry.tracing import Tracer

TASKS = "tests.integration.jobs.job_tasks"
MODULES = (TASKS, "tests.integration.jobs.job_pipelines")


class Workshop:
    """Short words for the tests."""

    def __init__(self, url: str, folder: Path) -> None:
        registry.load(MODULES)
        self.url = url
        self.folder = folder
        self.store = Store(self.database())
        self.notes = folder / "notes"

    def database(self) -> Database:
        return Migrated(open_database(self.url))

    def close(self) -> None:
        self.store.close()

    def submit(self, task: str, /, options: dict[str, Any] | None = None, **args: Any) -> str:
        terms = {**terms_of(registry.get(task)), **(options or {})}
        job, _ = self.store.submit(NewJob(task, Payload("application/json", dumps(args)), **terms))
        return job.id

    @contextlib.contextmanager
    def runner(
        self, database: Database | None = None, tracer: Tracer | None = None, **settings: Any
    ) -> Iterator[Runner]:
        """Run jobs for as long as the block lasts."""
        given: dict[str, Any] = {
            "task_modules": MODULES,
            "runtime_dir": self.folder / "run",
            "cpu_slots": 2,
            "job_slots": 2,
        }
        known = Settings(**(given | {"job_grace": 0, "job_lease": 3} | settings))
        engine = LocalEngine.of(known, queue_timeout=1e6)
        contracts = {task.name: contract.build(task) for task in registry.all_tasks()}
        database = database or self.database()
        inner = traced(engine, tracer)
        runner = Runner(database, work.with_pipelines(inner, known), contracts, known, tracer)
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            yield runner
        finally:
            runner.stop()
            thread.join(30)
            engine.close()
            database.close()
            assert not thread.is_alive()

    def wait(self, job: str, *states: State, within: float = 20) -> Job:
        """Return a job as soon as it is in one of these states, or has ended."""
        wanted = states or tuple(state for state in State if state.is_final)

        def arrived() -> bool:
            return self.store.get(job).state in wanted

        self.until(arrived, within, lambda: f"{self.store.get(job)} {self.store.log(job)}")
        return self.store.get(job)

    def until(self, true: Callable[[], bool], within: float = 20, explain: Callable[[], str] = str) -> None:
        end = time.monotonic() + within
        while not true():
            assert time.monotonic() < end, explain()
            time.sleep(0.005)

    def result(self, job: str) -> Any:
        payload = self.store.result(job)
        assert payload is not None
        return loads(payload.content)

    def lines(self, job: str) -> list[tuple[str, str]]:
        return [(line.stream, line.line) for line in self.store.log(job)]

    def noted(self) -> list[str]:
        """What tasks have written to ``notes``."""
        return self.notes.read_text().split() if self.notes.exists() else []


def is_dead(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
