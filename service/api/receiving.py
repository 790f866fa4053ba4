"""How long a client may take to send a request.

A thread that reads from a client can't be told to stop, but its socket can be shut for reading: the thread
then finds the end of what was sent. The worker's own loop does that (service.api.worker).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_until: dict[socket.socket, float] = {}


@contextmanager
def allowed_until(sock: Any, until: float) -> Iterator[None]:
    """Read from ``sock``, a socket or ``None``, for no longer than to the ``time.monotonic()`` time."""
    if sock is None:
        yield
        return
    _until[sock] = until
    try:
        yield
    finally:
        _until.pop(sock, None)


def end(sock: socket.socket) -> None:
    """Lift the limit: the request is there."""
    _until.pop(sock, None)


def enforce() -> None:
    """Shut the sockets whose time is up."""
    now = time.monotonic()
    for sock, until in list(_until.items()):
        if until <= now:
            _until.pop(sock, None)
            shut(sock)


def shut(sock: socket.socket) -> None:
    """Have whoever reads from the socket find its end."""
    with suppress(OSError):  # the client has gone
        sock.shutdown(socket.SHUT_RD)
