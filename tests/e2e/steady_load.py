"""Clients that send requests of every kind to a service, steadily, and look whether each answer is right.

    client ──one connection, kept alive──┐
    client ──a connection a request──────┴─> service

No request is sent twice: whatever goes wrong with one, a reset connection included, is in ``failures``.
"""

import hashlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from tests.e2e.running import wait_until

#: Two modules that change together: whoever runs one with the other's predecessor answers wrongly.
TASKS = '''
import hashlib, time
from collections.abc import Iterator
import steady_part
from service.tasks import task

VERSION = {version}

@task
def versions(n: int) -> list[int]:
    """Tell the versions of both modules, and the number."""
    return [VERSION, steady_part.VERSION, n]

@task
def count_up(until: int) -> Iterator[int]:
    """Yield numbers, slowly."""
    for n in range(until):
        time.sleep(0.02)
        yield n

@task
def fingerprint(data: bytes) -> str:
    """Compute the SHA-256 of an upload."""
    return hashlib.sha256(data).hexdigest()
'''

NDJSON = {"Accept": "application/x-ndjson"}
LARGE = bytes(range(256)) * 16 * 1024
LOG = '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 10 "-" "-"\n' * 50


def write_tasks(folder: Path, version: int, more: str = "") -> None:
    """Put the tasks of one version there, and ``more``; Python tells a new version by its size too."""
    text = TASKS.format(version=version) + "#" * version + more
    (folder / "steady_part.py").write_text(f"VERSION = {version} {'#' * version}\n")
    (folder / "steady_tasks.py").write_text(text)


#: How many clients there are, and seconds that each waits after an answer.
CLIENTS, PAUSE = 6, 0.1


class Served(Protocol):
    """A service that answers at an address."""

    url: str


class Load:
    """Some clients at work for as long as the block runs."""

    def __init__(self, service: Served, *, jobs: bool = True) -> None:
        """Half of the clients keep their connection."""
        self._url = service.url
        self._kinds = [kind for kind in KINDS if jobs or kind is not one_job]
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), name=f"client-{number}")
            for number in range(CLIENTS)
        ]
        #: How many right answers there were, by kind and by the version that gave them.
        self.answers: Counter[str] = Counter()
        self.versions: Counter[int] = Counter()
        #: Seconds that the slowest right answer took, by kind.
        self.longest: dict[str, float] = {}
        #: What was wrong with others.
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        """Begin, and return when each kind of request has been answered."""
        for thread in self._threads:
            thread.start()
        self.wait_for_answers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let each client get its last answer."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, each: int = 1) -> None:
        """Return when there are so many more answers of each kind, or a failure."""
        before = self.answers.copy()
        kinds = [kind.__name__ for kind in self._kinds]
        enough = lambda: all(self.answers[kind] - before[kind] >= each for kind in kinds)  # noqa: E731
        wait_until(lambda: enough() or bool(self.failures), 60, lambda: f"{before} {self.answers}")

    def check(self) -> None:
        """Fail when a request has failed."""
        assert not self.failures, "\n".join(self.failures[:20])

    def _ask(self, number: int) -> None:
        kept = number % 2 == 0
        client = self._connect()
        # Each begins with another kind.
        for turn in itertools.count(number):
            if self._done.is_set():
                break
            self._ask_once(self._kinds[turn % len(self._kinds)], client, turn, "kept" if kept else "new")
            if not kept:
                client.close()
                client = self._connect()
            self._done.wait(PAUSE)
        client.close()

    def _connect(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=30)

    def _ask_once(self, kind: "Kind", client: httpx.Client, turn: int, connection: str) -> None:
        name, began = kind.__name__, time.monotonic()
        try:
            version = kind(client, turn)
        except (httpx.HTTPError, AssertionError, KeyError, ValueError) as error:
            took = time.monotonic() - began
            what = f"{name}, {connection} connection, after {took:.2f} s at {began:.2f}"
            self.failures.append(f"{what}: {type(error).__name__} {error}")
            return
        self.answers[name] += 1
        self.longest[name] = max(time.monotonic() - began, self.longest.get(name, 0))
        if version is not None:
            self.versions[version] += 1


#: Sends a request, checks its answer, and returns the version of the task module if the answer tells.
Kind = Callable[[httpx.Client, int], int | None]


def _document(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:300]}"
    return answer.json()


def _version(results: list[list[int]], numbers: range) -> int:
    found = {version for result in results for version in result[:2]}
    assert len(found) == 1, f"a mixture of versions: {results}"
    assert [result[2] for result in results] == list(numbers)
    return found.pop()


def one_task(client: httpx.Client, turn: int) -> int:
    result = _document(client.post("/v1/tasks/versions", json={"n": turn}))["result"]
    return _version([result], range(turn, turn + 1))


def one_map(client: httpx.Client, turn: int) -> int:
    numbers = range(turn, turn + 20)
    items = [{"n": n} for n in numbers]
    entries = _document(client.post("/v1/tasks/versions/map", json={"items": items}))["results"]
    return _version([entry["result"] for entry in entries], numbers)


def one_streamed_map(client: httpx.Client, turn: int) -> None:
    numbers = range(turn, turn + 20)
    lines = "".join(f'{{"n": {n}}}\n' for n in numbers)
    headers = {**NDJSON, "Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/tasks/versions/map", content=lines, headers=headers)
    assert answer.status_code == 200, answer.text
    *entries, last = (json.loads(line) for line in answer.text.splitlines())
    assert last["summary"]["succeeded"] == len(numbers), last
    _version([entry["result"] for entry in sorted(entries, key=lambda entry: int(entry["index"]))], numbers)


def one_stream(client: httpx.Client, _: int) -> None:
    with client.stream("POST", "/v1/tasks/count_up", json={"until": 30}, headers=NDJSON) as answer:
        assert answer.status_code == 200, answer.read()
        *items, last = (json.loads(line) for line in answer.iter_lines())
    assert [item["item"] for item in items] == list(range(30)), (items, last)
    assert last["summary"]["items"] == 30


def one_job(client: httpx.Client, turn: int) -> None:
    answer = client.post("/v1/jobs", json={"task": "versions", "args": {"n": turn}})
    job = _document(answer, 202)
    until = time.monotonic() + 30
    while job["state"] in ("queued", "running"):
        assert time.monotonic() < until, job
        job = _document(client.get(answer.headers["Location"], params={"wait": 2}))
    assert job["state"] == "succeeded", job
    _version([job["result"]], range(turn, turn + 1))


def one_pipeline(client: httpx.Client, _: int) -> None:
    answer = client.post("/v1/pipelines/log_statistics", content=LOG, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    first, last = (json.loads(line) for line in answer.text.splitlines())
    assert first["item"]["lines"] == 50, (first, last)


def one_upload(client: httpx.Client, _: int) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/v1/tasks/fingerprint", content=LARGE, headers=headers)
    assert _document(answer)["result"] == hashlib.sha256(LARGE).hexdigest()


def one_slow_upload(client: httpx.Client, _: int) -> None:
    part = LARGE[: len(LARGE) // 20]

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            time.sleep(0.02)
            yield part

    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/v1/tasks/fingerprint", content=pieces(), headers=headers)
    assert _document(answer)["result"] == hashlib.sha256(part * 20).hexdigest()


def one_look(client: httpx.Client, _: int) -> None:
    assert _document(client.get("/healthz")) == {"status": "ok"}


KINDS: tuple[Kind, ...] = (
    one_task,
    one_map,
    one_task,
    one_streamed_map,
    one_look,
    one_stream,
    one_task,
    one_job,
    one_pipeline,
    one_upload,
    one_slow_upload,
)
