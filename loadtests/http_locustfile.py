"""The Locust side of ``http_drive``: users that ask what they are told, and write down what they get.

    traffic.json ─> a user class for each stream ─> users ─> answers.json

Only Locust imports this file.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events

from loadtests import http_drive, http_traffic
from loadtests.http_answers import Answer
from loadtests.http_traffic import Stream

FOLDER = Path(os.environ[http_drive.VARIABLE])
TRAFFIC = http_traffic.read((FOLDER / "traffic.json").read_text())

answers: list[Answer] = []
begun = time.monotonic()
cpu_begun = time.process_time()


def begin(**_: Any) -> None:
    global begun, cpu_begun
    begun, cpu_begun = time.monotonic(), time.process_time()


def write_down(**_: Any) -> None:
    cpu = (time.process_time() - cpu_begun) / (time.monotonic() - begun)
    (FOLDER / "answers.json").write_text(json.dumps({"answers": answers, "generator_cpu": cpu}))


events.test_start.add_listener(begin)
events.quitting.add_listener(write_down)


def ask(user: Asking) -> None:
    """Ask once, at the user's next turn."""
    user.wait_for_turn()
    stream = user.stream
    sent = time.monotonic()
    with user.client.request(
        stream.method, stream.path, data=stream.body, headers=stream.headers, catch_response=True
    ) as response:
        seconds = time.monotonic() - sent
        right = response.status_code == 200 and user.expected in response.content
        retry_after = (response.headers or {}).get("Retry-After")
        if not right:
            response.failure(str(response.status_code))
    answers.append(Answer(user.number, sent - begun, seconds, response.status_code, right, retry_after))


class Asking(FastHttpUser):  # type: ignore[misc]
    """Asks what its stream says; without a rate, again at once."""

    abstract = True
    wait_time = constant(0)
    tasks = (ask,)
    #: Of this class.
    stream: Stream
    number: int
    expected: bytes
    seats: itertools.count[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the next place in the order in which the users of a class ask."""
        super().__init__(*args, **kwargs)
        self._turn = next(self.seats)

    def wait_for_turn(self) -> None:
        """Wait until a request is due; with a rate, they are due at even distances, or when the stream says.

        One that is due while its user still waits for an answer is left out.
        """
        if not self.stream.rate:
            return
        while (wait := begun + self._due - time.monotonic()) < 0:
            self._turn += self.stream.users
        self._turn += self.stream.users
        time.sleep(wait)  # gevent's: Locust has put it there

    @property
    def _due(self) -> float:
        arrivals = self.stream.arrivals
        if not arrivals:
            return self._turn / self.stream.rate
        # After the last one there is nothing to do but to wait for the end.
        return arrivals[self._turn] if self._turn < len(arrivals) else TRAFFIC.total + 1.0


for number, stream in enumerate(TRAFFIC.streams):
    members = {
        "host": stream.url,
        "stream": stream,
        "number": number,
        "expected": stream.contains.encode(),
        "seats": itertools.count(),
        "fixed_count": stream.users,
        "network_timeout": stream.patience,
        "connection_timeout": stream.patience,
    }
    # Locust takes every class of users that it finds among the names of this module.
    globals()[f"Asking{number}"] = type(f"Asking{number}", (Asking,), members)
