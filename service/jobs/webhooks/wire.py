"""A connection on which everything together ends by one deadline.

A socket's own timeout counts anew for each byte: who sends one a second would never be late.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any

from service.jobs.webhooks.deadline import Deadline
from service.jobs.webhooks.lookup import Endpoint

#: Most bytes of an answer, head and body together, that are read.
MAX_ANSWER = 64 * 1024


class AnswerTooLong(HTTPException):
    """More than ``MAX_ANSWER`` came."""


def connect(endpoints: Sequence[Endpoint], deadline: Deadline) -> socket.socket:
    """Return a connection to the first of the endpoints, at least one, that takes it.

    Each may take its share of the time, so that one that does not answer leaves some for the next. Raises
    the ``OSError`` of the last.
    """
    *others, last = endpoints
    for tried, endpoint in enumerate(others):
        try:
            return _connect(endpoint, deadline.left() / (len(endpoints) - tried))
        except OSError:
            continue
    return _connect(last, deadline.left())


def _connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(endpoint.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


class Line:
    """A connected socket, as far as ``http.client`` uses one."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Leave the socket open at the end; who has opened it closes it."""
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._deadline.left())
            rest = rest[self._sock.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a file to read from."""
        return io.BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """Do nothing: http.client closes when it has the head of an answer and the body is yet to be read."""


class _Reader(io.RawIOBase):
    """What comes over a socket, at most ``MAX_ANSWER`` bytes of it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._room = MAX_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._room:
            raise AnswerTooLong
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(memoryview(buffer)[: self._room])
        self._room -= count
        return count
