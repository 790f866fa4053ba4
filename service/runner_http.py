"""The HTTP endpoint of a runner: what it has counted, and whether it has its lease.

GET /healthz ──> 200 while it has, else 503 and why          no key is needed
GET /metrics ──> what Prometheus reads                       with a key, if there are any

It is small on purpose: a few threads, no bodies, an end to every connection. It can't be in the way of jobs.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.registry import Collector

from service.errors import ConfigurationError
from service.keys import Key, of_header
from service.telemetry.logs import get_logger
from service.telemetry.metrics.registry import expose

#: Connections at once; one more is closed.
AT_ONCE = 8
#: Seconds that a connection may take, whatever its client does.
SECONDS = 5.0
#: Seconds between two looks for connections that take longer.
LOOK = 0.5

JSON = "application/json"

_log = get_logger()


class Endpoint(ThreadingHTTPServer):
    """Answers until it is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        address: str,
        trouble: Callable[[], str | None],
        collectors: Sequence[Collector],
        keys: tuple[Key, ...],
    ) -> None:
        """Take the address, ``host:port``; raises ``ConfigurationError`` when it can't be had.

        ``trouble`` says why the runner has no lease, if it has none.
        """
        self.trouble = trouble
        self.collectors = collectors
        self.keys = keys
        self._since: dict[socket.socket, float] = {}
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, int(port)), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"SERVICE_RUNNER_BIND={address!r}: this address can't be had: {error.strerror};"
                " each runner of a machine needs one of its own, or none"
            ) from error

    @property
    def address(self) -> str:
        """Where it listens, with the port that it was given."""
        host, port = self.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def server_bind(self) -> None:
        """Bind, and don't ask for the host's name, which may take long."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is one."""
        if len(self._since) >= AT_ONCE:
            super().shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that take too long: a client may send, or take, a byte every second."""
        late = time.monotonic() - SECONDS
        for request, since in tuple(self._since.items()):
            if since < late:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's
        """Say what went wrong, unless it is the client that has gone."""
        _log.debug("a request to the runner failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, and closes."""

    server: Endpoint
    timeout = SECONDS
    server_version = "everycore"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._tell_health()
        elif path == "/metrics":
            self._tell_metrics()
        else:
            self._send(HTTPStatus.NOT_FOUND, b'{"status": "not found"}', JSON)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _tell_health(self) -> None:
        trouble = self.server.trouble()
        if trouble is None:
            self._send(HTTPStatus.OK, b'{"status": "ok"}', JSON)
        else:
            said = json.dumps({"status": "unavailable", "reason": trouble}).encode()
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, said, JSON)

    def _tell_metrics(self) -> None:
        keys = self.server.keys
        if keys and of_header(keys, self.headers.get("Authorization", "")) is None:
            said = b'{"status": "this needs a key, as Authorization: Bearer"}'
            self._send(HTTPStatus.UNAUTHORIZED, said, JSON, {"WWW-Authenticate": "Bearer"})
            return
        text, content_type = expose(self.headers.get("Accept", ""), self.server.collectors)
        self._send(HTTPStatus.OK, text, content_type)

    def _send(
        self, status: HTTPStatus, content: bytes, media_type: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log no requests: they come every few seconds, and are all alike."""


@contextlib.contextmanager
def answering(endpoint: Endpoint) -> Generator[None, None, None]:
    """Answer requests for as long as the block lasts."""
    thread = threading.Thread(target=endpoint.serve_forever, args=[LOOK], name="runner-endpoint", daemon=True)
    thread.start()
    _log.info("runner endpoint open", address=endpoint.address)
    try:
        yield
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        thread.join()
