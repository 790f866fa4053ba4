"""Gunicorn's threaded worker, made to keep a thread free whatever clients do.

connection ─> poller ─> the whole header is there ─> thread: view
              (costs no thread)                      (SERVICE_WEB_THREADS work, SPARE_THREADS more
                                                      say how it is, or that there is no room)

Gunicorn's own worker lets a thread wait for each new connection, and for the rest of a header without
end; sixteen clients that send nothing are enough to silence it.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from service.api import problems, receiving
from service.api.requests import SECURITY_HEADERS

#: Threads beside those that work.
SPARE_THREADS = 4
#: Seconds for a request's header to come.
HEADER_SECONDS = 10.0
#: Seconds after which a client that takes nothing of its answer is given up.
SEND_SECONDS = 30

#: Bytes of a header to look for its end in; what is longer is left to a thread.
_PEEK = 32 * 1024


class Worker(ThreadWorker):  # type: ignore[misc] # Gunicorn ships no types
    """Serves requests in threads, each with its whole header there."""

    def init_process(self) -> None:
        """Answer what is no HTTP request in the form of all other errors."""
        util.write_error = write_problem
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, or wait for its first request."""
        if conn.initialized or conn.data_ready or self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        seconds = struct.pack("ll", SEND_SECONDS, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self._await_header(conn)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """See to a connection that was kept alive."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_header(conn)

    def _await_header(self, conn: Any) -> None:
        conn.sock.setblocking(False)  # noqa: FBT003 - that is its signature
        conn.timeout = time.monotonic() + HEADER_SECONDS
        conn.seen = 0
        if not self.cfg.is_ssl and not self._has_header(conn):
            self.pending_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
            )
            return
        conn.data_ready = True
        super().enqueue_req(conn)

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Look whether the rest of a header has come."""
        if self._has_header(conn):
            super().on_pending_socket_readable(conn, client)

    def _has_header(self, conn: Any) -> bool:
        """Tell whether a thread would have something to do."""
        try:
            start = conn.sock.recv(_PEEK, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True  # it finds out the same
        # Nothing, or nothing more, has come with the end of what the client sends.
        ready = b"\r\n\r\n" in start or len(start) in (conn.seen, 0, _PEEK)
        conn.seen = len(start)
        # The poller shall be silent until there is more than this.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if ready else len(start) + 1)
        return ready

    def handle(self, conn: Any) -> Any:
        """Handle a request in a thread; should its header be incomplete, it comes soon or not at all."""
        with receiving.allowed_until(conn.sock, time.monotonic() + HEADER_SECONDS):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Handle a request whose header is there."""
        receiving.end(conn.sock)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            self.log.info("a client took nothing of its answer for %s seconds", SEND_SECONDS)
            return False

    def murder_pending(self) -> None:
        """Give up clients that take too long to send a request; Gunicorn calls this each second."""
        now = time.monotonic()
        if not self.alive:
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, now + STOP_KEEPALIVE_LINGER)
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
        receiving.enforce()


def write_problem(sock: socket.socket, status: int, reason: str, detail: str) -> None:
    """Answer a request that is none with a problem document, and close."""
    body = problems.of_status(status, reason, detail)
    headers = {
        **SECURITY_HEADERS,
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    util.write_nonblock(sock, "\r\n".join([*lines, "", ""]).encode("latin1") + body)
