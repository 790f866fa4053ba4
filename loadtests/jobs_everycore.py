"""The service's jobs: ``serve`` without runners, and ``runner`` where there are to be workers."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from loadtests.http_servers import THREADS, WORKERS, Server, free_port
from loadtests.jobs_http import Client, client, together
from loadtests.jobs_plan import Figures, Plan
from loadtests.jobs_programs import started
from loadtests.jobs_queue import PATIENCE, JobsFailed, Queue

#: How many ask at once, and how many jobs they send at once.
CLIENTS = 16
BATCHES = (1000, 10_000)
#: Most jobs of a batch.
MOST = 10_000
#: Seconds that an answer may wait for the end of a job.
WAIT = 5

NOOP = '{"task": "noop", "args": {}}'


class Everycore(Queue):
    """The store is the service's database; whoever submits a job does so over HTTP."""

    def __init__(self, server: Server, client: Client, folder: Path, variables: dict[str, str]) -> None:
        """``variables`` are the settings of ``serve`` and of ``runner``."""
        self._server = server
        self._client = client
        self._folder = folder
        self._variables = variables
        self._batches: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, processes: int, database: str) -> Iterator[Self]:
        """Start the service with that database; ``processes`` are the CPU slots of jobs."""
        port = free_port()
        variables = {
            "SERVICE_BIND": f"127.0.0.1:{port}",
            "SERVICE_DATABASE_URL": database,
            "SERVICE_JOB_SLOTS": str(processes),
            # Nobody takes the time of who submits; workers are started when it is their turn.
            "SERVICE_RUNNERS": "0",
            "SERVICE_TASK_MODULES": "loadtests.jobs_tasks",
            "SERVICE_WEB_THREADS": str(THREADS),
            "SERVICE_WEB_WORKERS": str(WORKERS),
        }
        with started((sys.executable, "-m", "service", "serve"), folder, variables, port) as server:
            server.wait_until_ready("/readyz")
            with client(server) as submitter:
                yield cls(server, submitter, folder, variables)

    def enqueue(self, task: str) -> Any:
        """See ``Queue``; the job is its path."""
        return self._client.post("/v1/jobs", json.dumps({"task": task, "args": {}}))["href"]

    def fill(self, jobs: int) -> None:
        """See ``Queue``."""
        for begin in range(0, jobs, MOST):
            answer = self._submit_batch(min(MOST, jobs - begin))
            self._batches.append(answer["id"])

    def _submit_batch(self, jobs: int) -> Any:
        answer = self._client.post("/v1/jobs/batch", batch_of(jobs))
        if answer["total"] != jobs:
            raise JobsFailed(f"a batch of {jobs} jobs has {answer['total']}")
        return answer

    def together(self, plan: Plan) -> Figures:
        """Return how many jobs a second many clients get accepted, each of which waits for each."""
        return {"together": [together(self._server, CLIENTS, "/v1/jobs", NOOP, plan.seconds)]}

    def batches(self, plan: Plan) -> Figures:
        """Return how many jobs a second one client gets accepted in batches."""
        figures: Figures = {}
        for size in BATCHES:
            begun = time.perf_counter()
            for _ in range(plan.batches):
                self._submit_batch(size)
            figures[f"batches_{size}"] = [size * plan.batches / (time.perf_counter() - begun)]
        return figures

    @contextlib.contextmanager
    def workers(self) -> Iterator[None]:
        """See ``Queue``."""
        with started((sys.executable, "-m", "service", "runner"), self._folder, self._variables):
            yield

    def finished(self) -> int:
        """See ``Queue``."""
        return sum(counts.get("succeeded", 0) for counts in self._counts())

    def _counts(self) -> list[dict[str, int]]:
        return [self._client.get(f"/v1/batches/{batch}")["counts"] for batch in self._batches]

    def check(self) -> None:
        """See ``Queue``."""
        for counts in self._counts():
            if wrong := {state for state, number in counts.items() if number} - {
                "queued",
                "running",
                "succeeded",
            }:
                raise JobsFailed(f"jobs have {' and '.join(sorted(wrong))}: {counts}")

    def moments(self, job: Any) -> dict[str, float]:
        """See ``Queue``."""
        until = time.monotonic() + PATIENCE
        while (found := self._client.get(f"{job}?wait={WAIT}"))["state"] in {"queued", "running"}:
            if time.monotonic() > until:
                raise JobsFailed(f"a job has not ended in {PATIENCE:g} s: {found}")
        return moments_of(found)


def batch_of(jobs: int) -> str:
    """Return the body that submits so many no-ops."""
    return f'{{"jobs": [{", ".join([NOOP] * jobs)}]}}'


def moments_of(job: dict[str, Any]) -> dict[str, float]:
    """Return when a job's task began, when it was claimed and when it ended by the service's own account."""
    if job["state"] != "succeeded":
        raise JobsFailed(f"a job has {job['state']}: {job}")
    noted = {"claimed": job["started_at"], "ended": job["finished_at"]}
    moments = {key: datetime.fromisoformat(text).timestamp() for key, text in noted.items()}
    return moments | {"start": float(job["result"])}
