"""What came back from a server, and what can be said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import click

from loadtests.http_traffic import Traffic


class TrafficFailed(click.ClickException):
    """Locust did not do what it was told, or a server did not answer as it should."""


class Answer(NamedTuple):
    """What one request got."""

    #: The number of its stream.
    stream: int
    #: Seconds from the beginning of the traffic until it was sent.
    sent: float
    #: Seconds until the whole answer was there.
    seconds: float
    #: 0 when there was no answer.
    status: int
    #: Whether the answer was the expected one.
    right: bool
    retry_after: str | None

    @property
    def finished(self) -> float:
        """Seconds from the beginning of the traffic to the answer."""
        return self.sent + self.seconds


@dataclass(frozen=True, slots=True)
class Recording:
    """All answers of one traffic."""

    traffic: Traffic
    answers: tuple[Answer, ...]
    #: CPU seconds that the load generator took for a second of traffic.
    generator_cpu: float

    def of(self, name: str) -> list[Answer]:
        """Return the answers of one stream."""
        names = [stream.name for stream in self.traffic.streams]
        return [answer for answer in self.answers if names[answer.stream] == name]

    def sent_in_time(self, name: str) -> list[Answer]:
        """Return the answers to what was sent during the seconds that are looked at."""
        begin = self.traffic.warm
        end = begin + self.traffic.seconds
        return [answer for answer in self.of(name) if begin <= answer.sent < end]

    def rate(self, name: str) -> float:
        """Return the requests a second; one that reaches beyond an edge counts by its part within."""
        begin = self.traffic.warm
        end = begin + self.traffic.seconds
        parts = (
            max(0.0, min(answer.finished, end) - max(answer.sent, begin)) / answer.seconds
            for answer in self.of(name)
        )
        return sum(parts) / self.traffic.seconds

    def check(self, name: str, at_least: int = 5) -> None:
        """Raise ``TrafficFailed`` unless all answers of a stream were right, and not too few."""
        answers = self.of(name)
        if wrong := [answer for answer in answers if not answer.right]:
            raise TrafficFailed(f"{name}: {len(wrong)} of {len(answers)} answers are wrong, first {wrong[0]}")
        # Users that crash ask nothing, which looks like all is well.
        if len(answers) < at_least:
            raise TrafficFailed(f"{name}: {len(answers)} requests are too few to tell anything")


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed, which is one of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def read(traffic: Traffic, text: str) -> Recording:
    """Read what the locustfile has written."""
    found: dict[str, Any] = json.loads(text)
    return Recording(traffic, tuple(Answer(*row) for row in found["answers"]), found["generator_cpu"])
