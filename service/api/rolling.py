"""Gunicorn's threaded worker, made to come and go without a client that notices.

    SIGTERM ─> newer workers are not ready: serve on
               else stop listening, answer what has come, say "Connection: close" with each answer,
               keep idle connections for as long as they may be idle

A connection that the server closes while it is idle may be one on which a request is under way already
(RFC 9112, 9.3.1). So none is closed before its time because of a stop.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from service.api.generations import Generation


class RollingWorker(ThreadWorker):  # type: ignore[misc] # Gunicorn ships no types
    """Serves until newer workers do, and ends when its clients have gone elsewhere."""

    #: Those that it listens at.
    sockets: list[socket.socket]
    #: Set after the fork by gunicorn.conf.py.
    generation: Generation
    #: Whether it shall leave as soon as newer workers are ready.
    is_leaving = False
    _must_quit = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; at a reload not before new workers are ready, unless told so again."""
        if self.generation.is_outdated and not self.generation.is_relieved and not self.is_leaving:
            self.is_leaving = True
            self.method_queue.defer(lambda: None)  # have the loop look
            return
        if self.is_leaving:
            self.generation.give_up()
        super().handle_exit(sig, frame)

    def handle_quit(self, *_: Any) -> None:
        """Stop as soon as the loop gets there.

        Gunicorn does so within the handler: it waits there for a lock of the pool of threads, for ever if
        this thread was just about to hand a request to them.
        """
        self.alive = False
        self.cfg.worker_int(self)
        self._must_quit = True
        self.method_queue.defer(lambda: None)  # have the loop look

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections, requests and their ends; raises ``SystemExit`` if it shall stop at once."""
        super().wait_for_and_dispatch_events(timeout)
        if self._must_quit:
            self.tpool.shutdown(wait=False)
            sys.exit(0)

    def leave_if_relieved(self) -> None:
        """Stop when newer workers are ready."""
        if self.is_leaving and self.generation.is_relieved:
            self.alive = False

    def may_serve(self) -> bool:
        """Tell whether to take connections: at once when there is nobody else to, otherwise when ready."""
        if not self.generation.is_open and self.wsgi.extensions["everycore.engine"].ready:
            self.generation.open()
        return self.generation.is_open

    def stop_listening(self, *, take_the_rest: bool) -> None:
        """Let go of the listening sockets; ``take_the_rest`` of those who have connected, if no others can.

        When the last process lets go, the kernel resets whoever has connected and was not accepted, and
        refuses others at once, who can tell that nothing of theirs was done. Of workers that stop together
        at least one sees that no others have room.
        """
        for listener in self.sockets:
            if take_the_rest:
                self._take_all(listener)
            listener.close()
        # A worker that is told to stop while it imports comes here twice.
        self.sockets = []

    def _take_all(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while self.nr_conns < self.worker_connections and poll.poll(0):
            try:
                ThreadWorker.accept(self, listener)
            except OSError:
                return  # there are no more descriptors

    def _cap_keepalive(self, deadline: float) -> None:
        """Leave idle connections their time; Gunicorn closes them after two seconds."""

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
        """Close connections that were idle for too long, unless a request has come just now."""
        if self.keepalived_conns and self.keepalived_conns[0].timeout <= time.monotonic():
            ThreadWorker.wait_for_and_dispatch_events(self, 0.0)
        super().murder_keepalived(force)
