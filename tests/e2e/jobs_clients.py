"""Clients that submit jobs over HTTP and try again until they know."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.running import wait_until

#: Clients at once.
COUNT = 4
#: Seconds that each tries for, and between two attempts.
PATIENCE, PAUSE = 50.0, 0.05


class Clients:
    """Each job has an idempotency key, so that a second attempt makes no second job.

    At the end of the block everything has been accepted, or given up.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(COUNT)
        self._client = httpx.Client(timeout=10)
        #: Ids of jobs that were accepted, by number.
        self.accepted: dict[int, str] = {}
        #: Statuses of answers that were none of these, and errors in the place of answers.
        self.refusals: list[int | httpx.TransportError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=kind is not None)
        self._client.close()

    def submit(self, task: str, numbers: Iterable[int], **args: Any) -> None:
        """Begin to submit a job for each number."""
        for number in numbers:
            self._threads.submit(self._submit, number, {"task": task, "args": {"number": number, **args}})

    def wait_until_accepted(self, count: int) -> None:
        """Return when so many jobs are accepted."""
        wait_until(lambda: len(self.accepted) >= count, PATIENCE, lambda: f"{self.refusals}")

    def _submit(self, number: int, body: dict[str, Any]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                answer = self.post(body, key=f"job-{number}")
            except httpx.TransportError as error:
                self.refusals.append(error)
            else:
                if answer.status_code in (200, 202):
                    self.accepted[number] = answer.json()["id"]
                    return
                self.refusals.append(answer.status_code)
            time.sleep(PAUSE)

    def post(self, body: dict[str, Any], key: str) -> httpx.Response:
        """Submit a job once."""
        return self._client.post(f"{self._url()}/v1/jobs", json=body, headers={"Idempotency-Key": key})
