"""What is asked of a server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind, all alike."""

    name: str
    #: Scheme, host and port.
    url: str
    path: str
    #: Where this stands in the body, the answer is right.
    contains: str
    method: str = "GET"
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: How many ask at once. Without a rate each asks again as soon as it has its answer.
    users: int = 1
    #: Requests a second of all users together, however long answers take; 0 for no such rate.
    rate: float = 0.0
    #: Seconds after which a user gives up.
    patience: float = 30.0
    #: Seconds from the beginning at which requests are due, where that is not at even distances.
    arrivals: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Streams that run beside each other."""

    streams: tuple[Stream, ...]
    #: Seconds that are looked at.
    seconds: float
    #: Seconds before that, for everything to be under way.
    warm: float = 1.0
    #: Seconds after that, for answers to come in.
    tail: float = 1.0

    @property
    def total(self) -> float:
        """Seconds altogether."""
        return self.warm + self.seconds + self.tail


def read(text: str) -> Traffic:
    """Read what is to be asked."""
    found: dict[str, Any] = json.loads(text)
    streams = tuple(
        Stream(**stream | {"arrivals": tuple(stream["arrivals"])}) for stream in found.pop("streams")
    )
    return Traffic(streams, **found)
