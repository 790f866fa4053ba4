"""The addresses of a host, looked up once and within a deadline."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from service.jobs.webhooks.addresses import Address
from service.jobs.webhooks.deadline import Deadline
from service.jobs.webhooks.target import Target

#: What ``socket.getaddrinfo`` is.
Resolve = Callable[..., Sequence[tuple[Any, ...]]]

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to connect to."""

    family: int
    #: As ``socket.connect`` takes it.
    sockaddr: tuple[Any, ...]
    address: Address


def endpoints(target: Target, deadline: Deadline, resolve: Resolve) -> list[Endpoint]:
    """Return the addresses of the target's host, of which there may be none.

    Raises ``socket.gaierror`` for a name that is not known, ``TimeoutError`` at the deadline.
    """
    if target.address is not None:
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6  # noqa: PLR2004
        return [Endpoint(family, (target.host, target.port), target.address)]
    found = _within(deadline, lambda: resolve(target.host, target.port, type=socket.SOCK_STREAM))
    return [
        Endpoint(family, sockaddr, ipaddress.ip_address(sockaddr[0]))
        for family, _, _, _, sockaddr in found
        if family in _FAMILIES
    ]


def _within(
    deadline: Deadline, look_up: Callable[[], Sequence[tuple[Any, ...]]]
) -> Sequence[tuple[Any, ...]]:
    """Wait for a look-up until the deadline.

    The C library can't be told to stop. A thread that is still in it then stays until the library gives up
    by itself, 5 s a try and name server as a rule; nobody waits for it.
    """
    answer: Future[Sequence[tuple[Any, ...]]] = Future()

    def run() -> None:
        try:
            answer.set_result(look_up())
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            answer.set_exception(error)

    threading.Thread(target=run, name="webhook-lookup", daemon=True).start()
    return answer.result(deadline.left())
