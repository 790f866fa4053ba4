"""The clients of the service's jobs: plain connections that are kept."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from loadtests.http_answers import TrafficFailed
from loadtests.http_servers import Server
from loadtests.jobs_measures import rate_of
from loadtests.report import Json

HEADERS = {"Content-Type": "application/json"}
#: Seconds after which an answer is given up.
PATIENCE = 60.0


class Client:
    """One connection, for one thread."""

    def __init__(self, connection: HTTPConnection) -> None:
        """Connect when first asked."""
        self._connection = connection

    def post(self, path: str, body: str) -> Json:
        """Send JSON and return what it is answered with, which is to be 202."""
        return self._ask("POST", path, body, 202)

    def get(self, path: str) -> Json:
        """Return what is there."""
        return self._ask("GET", path, None, 200)

    def _ask(self, method: str, path: str, body: str | None, expected: int) -> Json:
        self._connection.request(method, path, body, HEADERS)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != expected:
            raise TrafficFailed(f"{method} {path}: answered with {response.status}, {answer[:500]!r}")
        document: Json = json.loads(answer)
        return document


@contextlib.contextmanager
def client(server: Server) -> Iterator[Client]:
    """Return the context of a client."""
    with contextlib.closing(server.connect(PATIENCE)) as connection:
        yield Client(connection)


def together(server: Server, clients: int, path: str, body: str, seconds: float) -> float:
    """Have clients send the same at once, each again when it has its answer; return the answers a second."""

    def ask() -> float:
        with client(server) as mine:
            mine.post(path, body)  # the first one connects
            return rate_of(lambda: mine.post(path, body), seconds)

    with ThreadPoolExecutor(clients) as threads:
        return sum(future.result() for future in [threads.submit(ask) for _ in range(clients)])
