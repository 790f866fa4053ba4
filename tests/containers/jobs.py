"""Jobs that are submitted through the published port whatever happens behind it."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.containers.stack import Stack

#: Seconds for which a client tries again.
PATIENCE = 90.0


def sum_of_squares(n: int) -> int:
    """Return what the task of that name does."""
    return (n - 1) * n * (2 * n - 1) // 6


class Submissions:
    """Clients that submit jobs until each is accepted; by its idempotency key none is made twice."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.url}/v1/jobs"
        self._threads = ThreadPoolExecutor(4)
        #: What was accepted: ids and the results that they are to have.
        self.accepted: dict[str, Any] = {}
        #: Answers that say that it is no use to try again.
        self.refused: list[str] = []

    def submit(self, task: str, args: dict[str, Any], result: Any) -> None:
        """Begin to submit a job."""
        self._threads.submit(self._submit, {"task": task, "args": args}, result)

    def sums(self, numbers: range) -> None:
        """Begin to submit a sum of each number of squares."""
        for n in numbers:
            self.submit("sum_of_squares", {"n": n}, sum_of_squares(n))

    def waits(self, count: int, seconds: float) -> None:
        """Begin to submit jobs that only wait."""
        for number in range(count):
            self.submit("background_task", {"message": f"{number}", "duration": seconds}, None)

    def close(self) -> None:
        """Return when everything is accepted, or given up."""
        self._threads.shutdown()
        assert not self.refused, self.refused

    def _submit(self, body: dict[str, Any], result: Any) -> None:
        key = uuid.uuid4().hex
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(self._url, json=body, headers={"Idempotency-Key": key}, timeout=10)
                if answer.status_code in (200, 202):
                    self.accepted[answer.json()["id"]] = result
                    return
                if answer.status_code < 500:
                    self.refused.append(answer.text)
                    return
            time.sleep(0.1)


@contextlib.contextmanager
def submissions(stack: Stack) -> Iterator[Submissions]:
    """Return the clients; at the end of the block they are done."""
    clients = Submissions(stack)
    try:
        yield clients
    finally:
        clients.close()


def job(stack: Stack, job_id: str) -> dict[str, Any]:
    """Return a job, or nothing while nobody answers."""
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.get(f"{stack.url}/v1/jobs/{job_id}", timeout=10)
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
    return {}
