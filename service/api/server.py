"""What Gunicorn says by itself, in the form of everything else; and what it need not say."""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import Any

from gunicorn import glogging, util
from gunicorn.http import wsgi

from service.api import problems
from service.api.requests import SECURITY_HEADERS


class Log(glogging.Logger):  # type: ignore[misc] # Gunicorn ships no types
    """Leaves requests to the application, which logs them."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Do nothing; Gunicorn would put together what nobody reads, in a tenth of a small request's time."""


class Response(wsgi.Response):  # type: ignore[misc] # as above
    """Sends header and body together, and closes when the application says so, which Gunicorn overhears."""

    #: The header, until there is something to send it with.
    _held = b""
    headers_sent: bool

    def send_headers(self) -> None:
        """Put the header together."""
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers)]
            self._held = "".join([*lines, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        held, self._held = self._held, b""
        self.sock.sendall(held + data if held else data)

    def close(self) -> None:
        """Send what is left."""
        self.send_headers()
        if self._held:
            self.sock.sendall(self._held)
        super().close()

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take the application's headers."""
        super().process_headers(headers)
        if ("Connection", "close") in headers or self.req.body.failed:
            self.force_close()


def write_problem(sock: socket.socket, status: int, _reason: str, detail: str) -> None:
    """Answer a request that is none with a problem document, and close."""
    body = problems.of_status(status, detail)
    headers = {
        **SECURITY_HEADERS,
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    # Gunicorn's own reason may be that of another status.
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    util.write_nonblock(sock, "\r\n".join([*lines, "", ""]).encode("latin1") + body)
