"""HTTP as it goes over the wire, so that nothing mends a request before it is sent."""

import contextlib
import http.client
import json
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

#: Seconds after which an answer that has not come counts as a hang.
PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The lines of the body, which are JSON each."""
        return [json.loads(line) for line in self.body.splitlines()]


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Put a request together; nothing is added to it."""
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", *headers, "")).encode(
        "latin1"
    ) + bytes(body)


def get(target: str, *headers: str) -> bytes:
    """Put a GET request together."""
    return request("GET", target, "Host: localhost", *headers)


def post(target: str, body: bytes, media_type: str = "application/json", *headers: str) -> bytes:
    """Put a POST request together, with the right length."""
    return request(
        "POST", target, f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *headers, body=body
    )


@contextlib.contextmanager
def connected(port: int, *sent: bytes) -> Iterator[socket.socket]:
    """Connect, and send something, for as long as the block runs."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        for data in sent:
            sock.sendall(data)
        yield sock


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Read one answer, however long that takes up to ``PATIENCE``."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def exchange(port: int, data: bytes, *, half_close: bool = False) -> Answer:
    """Send bytes on a new connection, perhaps with the end of what is sent, and read one answer."""
    with connected(port) as sock:
        # The server may have said enough, and closed, before it has read everything.
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        return read_answer(sock)


def everything(port: int, data: bytes) -> bytes:
    """Send bytes on a new connection, and return all that comes until the server closes it."""
    with connected(port, data) as sock:
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(65536):
                received += piece
        return bytes(received)


def send_until_answered(sock: socket.socket, pieces: Iterable[bytes]) -> int:
    """Send pieces for as long as nothing comes back and the server takes them; return the bytes sent."""
    sent = 0
    sock.settimeout(0)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            left = memoryview(piece)
            while left:
                readable, writable, _ = select.select([sock], [sock], [], PATIENCE)
                assert readable or writable, "the server neither reads nor answers"
                if readable:
                    break
                taken = sock.send(left)
                left, sent = left[taken:], sent + taken
            if left:
                break
    sock.settimeout(PATIENCE)
    return sent


def drip(
    socks: Iterable[socket.socket], piece: bytes, every: float, within: float
) -> dict[socket.socket, float]:
    """Send a piece on each connection again and again; return when each got its answer, monotonic."""
    began = time.monotonic()
    waiting, answered = list(socks), {}
    while waiting and time.monotonic() < began + within:
        for sock in waiting:
            with contextlib.suppress(ConnectionError):
                sock.send(piece)
        readable, _, _ = select.select(waiting, [], [], 0)
        for sock in readable:
            answered[sock] = time.monotonic()
            waiting.remove(sock)
        select.select(waiting, [], [], every)
    assert not waiting, f"{len(waiting)} have no answer after {within} s"
    return answered
