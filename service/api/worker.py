"""Gunicorn's threaded worker, made to keep a thread free whatever clients do.

connection ─> poller ─> the whole header is there ─> thread: view
              (costs no thread)                      (SERVICE_WEB_THREADS work, SPARE_THREADS more
                                                      say how it is, or that there is no room)

Gunicorn's own worker lets a thread wait for each new connection, and for the rest of a header without
end; sixteen clients that send nothing are enough to silence it. It also takes connections whether it has
room or not; this one leaves them to a worker that has, if there is one. How it comes and goes: rolling.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from service.api import receiving
from service.api.rolling import RollingWorker
from service.api.server import Response, write_problem
from service.api.streaming import BrokenOff
from service.engine.slots import Slots

#: Threads beside those that work.
SPARE_THREADS = 4
#: Seconds for a request's header to come.
HEADER_SECONDS = 10.0
#: Seconds after which a client that takes nothing of its answer is given up.
SEND_SECONDS = 30

#: Seconds that a thread waits for the rest of a body that nobody has read, so as to keep the connection.
DRAIN_SECONDS = 0.05
#: Seconds, and bytes, that a client may go on sending when it has its answer and the connection ends.
LINGER_SECONDS, LINGER_BYTES = 2.0, 64 * 1024

#: Seconds after which a worker that leaves new connections to others asks whether they have room still.
ASK_SECONDS = 0.01

#: Bytes of a whole header: the longest request line that is taken, and as much again.
MAX_HEADER = 64 * 1024


class Worker(RollingWorker):
    """Serves requests in threads, each with its whole header there."""

    def init_process(self) -> None:
        """Answer what is no HTTP request in the form of all other errors."""
        util.write_error = write_problem
        wsgi.Response = Response
        super().init_process()

    def run(self) -> None:
        """Serve until stopped; as long as it has room, other workers can know."""
        settings = self.wsgi.extensions["everycore.settings"]
        #: Seconds that the work for a request may take, and when each request under way is given up.
        self._longest = settings.request_timeout_max
        self._answering: dict[socket.socket, float] = {}
        # Of this server alone: others that share the CPU slots do not listen here.
        self._room = Slots(settings.runtime_dir / "room" / str(self.ppid), 0)
        self._mark = self._room.open()
        #: Whether other workers are told that there is room.
        self._has_room = False
        #: Connections that threads have, or will have.
        self._in_threads = 0
        super().run()

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - its signature
        """Take further connections, unless they had better go to a worker that has room."""
        better = self._had_better_wait()  # and the other workers hear of it
        super().set_accept_enabled(enabled and self.alive and not better)
        if not self.alive:
            self.stop_listening(take_the_rest=not self._room.contended)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, unless it had better go to a worker that has room."""
        if self._had_better_wait():
            return
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            # Others wait to be taken until a connection ends; nothing that is under way is lost.
            super().set_accept_enabled(False)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections, requests and their ends."""
        self.leave_if_relieved()
        if self._accepting and self._had_better_wait():
            super().set_accept_enabled(False)
        if self.alive and (self.is_leaving or not self._accepting):
            timeout = min(timeout, ASK_SECONDS)  # the others may be ready, or full, by then
        super().wait_for_and_dispatch_events(timeout)

    def _had_better_wait(self) -> bool:
        has_room = self._look_for_room()
        return self.alive and not has_room and (not self.may_serve() or self._room.contended)

    def _look_for_room(self) -> bool:
        """Tell whether there is room, and tell the other workers if that has changed."""
        taken = self._in_threads + len(self.pending_conns)
        has_room = (
            self.alive
            and self.may_serve()
            and taken < int(self.cfg.threads) - SPARE_THREADS
            and self.nr_conns < self.worker_connections
        )
        if has_room != self._has_room:
            self._has_room = has_room
            (self._mark.announce if has_room else self._mark.withdraw)()
        return has_room

    def _hand_over(self, conn: Any) -> None:
        """Have a thread handle a connection."""
        self._in_threads += 1
        self._look_for_room()
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """See to a connection that a thread is through with."""
        self._in_threads -= 1
        self._keep_or_close(conn, fs)
        self._look_for_room()

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, or wait for its first request."""
        if conn.initialized or conn.data_ready or self.cfg.is_ssl:
            self._hand_over(conn)
            return
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        conn.enough = 1
        self._await_header(conn)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """See to a connection that was kept alive."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_header(conn)

    def _await_header(self, conn: Any) -> None:
        conn.sock.setblocking(False)  # noqa: FBT003 - that is its signature
        conn.timeout = time.monotonic() + HEADER_SECONDS
        conn.seen, conn.oversized = 0, False
        if not self.cfg.is_ssl and not self._has_header(conn):
            self.pending_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
            )
            return
        conn.data_ready = True
        self._hand_over(conn)

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """Look whether the rest of a header has come."""
        if self._has_header(conn):
            super().on_pending_socket_readable(conn, client)

    def _has_header(self, conn: Any) -> bool:
        """Tell whether a thread would have something to do."""
        # What came along with the request before.
        held = conn.parser.unreader.buf.getvalue() if conn.parser else b""
        try:
            more = conn.sock.recv(MAX_HEADER, socket.MSG_PEEK)
        except BlockingIOError:
            return _is_whole(held)
        except OSError:
            return True  # it finds out the same
        start = held + more
        # Nothing, or nothing more, has come with the end of what the client sends.
        ready = _is_whole(start) or len(start) in (conn.seen, 0)
        conn.oversized = not ready and len(start) >= MAX_HEADER
        conn.seen = len(start)
        ready = ready or conn.oversized
        # The poller shall be silent until there is more than this.
        enough = 1 if ready else len(more) + 1
        if enough != conn.enough:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, enough)
            conn.enough = enough
        return ready

    def handle(self, conn: Any) -> Any:
        """Handle a request in a thread; should its header be incomplete, it comes soon or not at all."""
        if not self.cfg.is_ssl and conn.oversized:
            write_problem(conn.sock, 431, "", f"the header has more than {MAX_HEADER} bytes")
            return False
        with receiving.allowed_until(conn.sock, time.monotonic() + HEADER_SECONDS):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Handle a request whose header is there."""
        receiving.end(conn.sock)
        self._answering[conn.sock] = time.monotonic() + self._longest + SEND_SECONDS
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            self.log.info("a client took nothing of its answer for %s seconds", SEND_SECONDS)
            return False
        except BrokenOff:
            # It comes here unlogged and without a last chunk, as an error of the socket would.
            if req.version < (1, 1):
                _reset(conn.sock)
            return False
        finally:
            self._answering.pop(conn.sock, None)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Tell whether the connection can be used again; Gunicorn lets a thread wait for 5 seconds."""
        return bool(keepalive and conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))

    def _keep_or_close(self, conn: Any, fs: Any) -> None:
        """Do what Gunicorn's ``finish_request`` does, without making the worker's only loop wait."""
        if self.cfg.is_ssl or fs.cancelled() or fs.exception():
            super().finish_request(conn, fs)
        elif not fs.result():
            self._linger(conn)
        elif conn.parser.unreader.buf.getvalue():
            self._await_header(conn)  # a part of the next one came along
        else:
            super().finish_request(conn, fs)
            conn.set_timeout()  # the same as ever, also at a stop

    def _linger(self, conn: Any) -> None:
        """Close when the client does, for what it still sends would have the kernel take the answer back.

        Gunicorn's own way is to wait for that in the worker's only loop.
        """
        conn.seen, conn.left = 0, LINGER_BYTES
        conn.timeout = time.monotonic() + LINGER_SECONDS
        try:
            conn.sock.setblocking(False)  # noqa: FBT003 - as above
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone
            self.nr_conns -= 1
            conn.close()
            return
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_lingering, conn))

    def _on_lingering(self, conn: Any, client: socket.socket) -> None:
        """Take what a client still sends, and see whether it has closed."""
        try:
            sent = len(client.recv(LINGER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            sent = 0
        conn.left -= sent
        if not sent or conn.left <= 0:
            self.pending_conns.remove(conn)
            self._give_up(conn)

    def _give_up(self, conn: Any) -> None:
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Give up clients that take too long to send a request; Gunicorn calls this each second."""
        now = time.monotonic()
        if not self.alive:
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, now + STOP_KEEPALIVE_LINGER)
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self.pending_conns.remove(conn)
            if conn.seen:
                _say_timeout(conn.sock)
            self._give_up(conn)
        for sock, until in list(self._answering.items()):
            if until <= now:  # it takes its answer by drops
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        receiving.enforce()


def _reset(sock: socket.socket) -> None:
    """Close with an error: where there are no chunks, a plain end would say that all had been sent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _is_whole(start: bytes) -> bool:
    """Tell whether a header has its end, or can have none: its lines end without a carriage return."""
    return b"\r\n\r\n" in start or start.count(b"\n") != start.count(b"\r\n")


def _say_timeout(sock: socket.socket) -> None:
    """Tell a client that did not send a whole header."""
    with suppress(OSError):
        sock.recv(MAX_HEADER)  # what is left unread would have the kernel take the answer back
        write_problem(sock, 408, "", "the header did not come in time")
