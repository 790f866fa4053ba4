"""One message, sent once.

url ─> parse ─> addresses, looked up once ─> all allowed? ─> connect to one of these ─> TLS ─> POST ─> status
                                              └─> Refused

What was checked is what is connected to: a second look-up, such as any HTTP client does by itself, could be
answered with another address. The name still stands in the Host header, and the certificate has to be the
name's. Redirects are not followed, for they could lead past all of this, and no proxy is asked.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import cast

from service.errors import EverycoreError
from service.jobs.webhooks.allowed import SETTING, Allowed
from service.jobs.webhooks.deadline import Deadline
from service.jobs.webhooks.lookup import Endpoint, Resolve, endpoints
from service.jobs.webhooks.target import Target, parse
from service.jobs.webhooks.wire import MAX_ANSWER, AnswerTooLong, Line, connect

#: The first kind that fits counts. An error's own text is not used where it may quote what was received.
_REASONS: dict[type[Exception], str] = {
    TimeoutError: "{place} did not answer within {seconds:g} s",
    ssl.SSLCertVerificationError: "{place} has no certificate that can be trusted: {error.verify_message}",
    ssl.SSLError: "{place} does not speak TLS as it should: {error.reason}",
    ConnectionRefusedError: "{place} takes no connections",
    ConnectionError: "{place} closed the connection before it answered",
    OSError: "{place} can't be reached: {error.strerror}",
    AnswerTooLong: f"{{place}} sent {MAX_ANSWER // 1024} KiB, and its answer's head was not over",
    HTTPException: "{place} answered with something other than HTTP/1.1",
}


class Undelivered(EverycoreError):
    """No answer came; the text names the host, and nothing else of the URL, the message or the answer."""

    def __init__(self, reason: str) -> None:
        """``reason`` is a sentence for whoever asked for the webhook."""
        super().__init__(reason)
        self.reason = reason


class Refused(Undelivered):
    """The host is at an address that may not be called; nothing was sent."""

    def __init__(self, host: str, address: str) -> None:
        """``address`` is for the log: what names mean inside a network is not told to those outside."""
        super().__init__(f"{host} has an address that is not public; the setting {SETTING} can allow it")
        self.host = host
        self.address = address


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Allowed,
    timeout: float = 10.0,
    resolve: Resolve = socket.getaddrinfo,
    context: ssl.SSLContext | None = None,
) -> int:
    """Send ``body`` and return the status of the answer, whichever it is; 2xx says that it was taken.

    ``headers`` are sent besides ``Host``, ``Content-Length``, ``Connection`` and ``Accept-Encoding``.
    ``timeout`` is for all of it together. The status counts once the answer's head is there; up to 64 KiB of
    the rest are read and dropped, which spares the receiver a broken connection.

    Raises ``Undelivered`` or ``Refused``; ``ValueError`` for a URL that ``target.parse`` refuses, and for
    headers that can't be written.
    """
    target = parse(url)
    deadline = Deadline(timeout)
    found = _addresses(target, allowed, deadline, resolve)
    try:
        with contextlib.closing(_open(target, found, deadline, context)) as sock:
            return _exchange(target, Line(sock, deadline), body, headers)
    except (OSError, HTTPException) as error:
        raise Undelivered(_reason(error, target, deadline)) from error


def _addresses(target: Target, allowed: Allowed, deadline: Deadline, resolve: Resolve) -> list[Endpoint]:
    try:
        found = endpoints(target, deadline, resolve)
    except TimeoutError as error:
        raise Undelivered(f"the name {target.host} was not found within {deadline.seconds:g} s") from error
    except OSError as error:
        why = f": {error.strerror}" if error.strerror else ""
        raise Undelivered(f"the name {target.host} was not found{why}") from error
    if not found:
        raise Undelivered(f"the name {target.host} has no address")
    for endpoint in found:
        if not allowed.permits(target.host, endpoint.address):
            raise Refused(target.host, str(endpoint.address))
    return found


def _open(
    target: Target, found: list[Endpoint], deadline: Deadline, context: ssl.SSLContext | None
) -> socket.socket:
    sock = connect(found, deadline)
    try:
        # A large body is written in pieces, and none of them shall wait for the other side's word.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not target.tls:
            return sock
        sock.settimeout(deadline.left())
        return (context or _default_context()).wrap_socket(sock, server_hostname=target.host)
    except BaseException:
        sock.close()
        raise


def _exchange(target: Target, line: Line, body: bytes, headers: Mapping[str, str]) -> int:
    connection = HTTPConnection(target.host, target.port)
    connection.default_port = target.default_port
    # It is connected already, and must never connect by itself.
    connection.sock = cast("socket.socket", line)
    connection.auto_open = 0
    # A receiver may say no before it has read everything, and close; its answer may be there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", target.path, body, {**headers, "Connection": "close"})
    response = connection.getresponse()
    with contextlib.suppress(OSError, HTTPException, ValueError):
        response.read(MAX_ANSWER)
    return response.status


@functools.cache
def _default_context() -> ssl.SSLContext:
    """Trust the authorities that the system trusts; reading them takes some 20 ms."""
    return ssl.create_default_context()


def _reason(error: OSError | HTTPException, target: Target, deadline: Deadline) -> str:
    text = next(text for kind, text in _REASONS.items() if isinstance(error, kind))
    return text.format(place=target.place, seconds=deadline.seconds, error=error)
