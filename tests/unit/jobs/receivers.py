"""Servers on loopback that get webhooks, and answer what a test wants."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: Seconds after which a server gives a connection up, so that a test that fails does not hang.
PATIENCE = 20.0

#: One of the tuples that ``socket.getaddrinfo`` returns.
Info = tuple[int, int, int, str, tuple[str | int, ...]]

#: Writes an answer to a connection; the event is set when the test is over.
Reply = Callable[[socket.socket, threading.Event], None]


@dataclass
class Request:
    """What came over the wire."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver(socketserver.ThreadingTCPServer):
    """Reads a request from each connection, or does not, and answers it."""

    def __init__(self, reply: Reply, context: ssl.SSLContext | None, *, reads: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.context = context
        self.reads = reads
        self.port = self.server_address[1]
        self.requests: list[Request] = []
        self.over = threading.Event()

    def get_request(self) -> tuple[socket.socket, object]:
        sock, address = super().get_request()
        sock.settimeout(PATIENCE)
        return (self.context.wrap_socket(sock, server_side=True) if self.context else sock), address


class _Handler(socketserver.StreamRequestHandler):
    server: Receiver

    def handle(self) -> None:
        # The other side may have gone, which is often what a test is about.
        with contextlib.suppress(OSError):
            if self.server.reads:
                self.server.requests.append(self._read())
            self.server.reply(self.connection, self.server.over)

    def _read(self) -> Request:
        request = Request(self.rfile.readline().decode().strip())
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            request.headers[name.lower()] = value.strip()
        request.body = self.rfile.read(int(request.headers.get("content-length", 0)))
        return request


@contextlib.contextmanager
def receiver(
    reply: Reply, context: ssl.SSLContext | None = None, *, reads: bool = True
) -> Iterator[Receiver]:
    """Run a server for as long as the block runs."""
    with Receiver(reply, context, reads=reads) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def says(answer: bytes) -> Reply:
    """Answer with these bytes, and close."""
    return lambda sock, _over: sock.sendall(answer)


def status(code: int, *headers: str, body: bytes = b"") -> Reply:
    """Answer with a status."""
    head = [f"HTTP/1.1 {code} As Told", f"Content-Length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(head).encode() + body)


def endless(piece: bytes, first: bytes = b"", pause: float = 0.0) -> Reply:
    """Send ``first`` and then a piece again and again, until the test or the other side ends it."""

    def reply(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(first)
        while not over.wait(pause):
            sock.sendall(piece)

    return reply


def silence(_sock: socket.socket, over: threading.Event) -> None:
    """Say nothing."""
    over.wait(PATIENCE)


class Counted:
    """Sends until the other side ends it, and counts how much that was."""

    LIMIT = 256 * 1024 * 1024

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.count = 0
        self.ended = threading.Event()

    def __call__(self, sock: socket.socket, _over: threading.Event) -> None:
        piece = bytes(64 * 1024)
        try:
            sock.sendall(self.head)
            while self.count < self.LIMIT:
                sock.sendall(piece)
                self.count += len(piece)
        finally:
            self.ended.set()


@contextlib.contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """Listen, and leave every further connection without an answer while the block runs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(10):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect((host, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("this kernel takes any number of connections")
        yield


class Resolver:
    """Stands for ``socket.getaddrinfo``; any name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **hints: object) -> list[Info]:
        self.asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]
