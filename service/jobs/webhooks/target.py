"""The URL that a message is sent to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from service.jobs.webhooks.addresses import Address, read_host
from service.jobs.webhooks.allowed import SETTING, Allowed

#: Longest URL.
MAX_LENGTH = 2000
LAST_PORT = 65_535

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]*")
_NETLOC = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?")
_LOOPBACK = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that has been read."""

    tls: bool
    #: A name in lower case, or an address without brackets.
    host: str
    port: int
    #: With the query. It may hold what only the receiver should know.
    path: str = field(repr=False)
    #: What ``host`` is, if it is an address.
    address: Address | None

    @property
    def default_port(self) -> int:
        """The port that goes without saying."""
        return _DEFAULT_PORTS["https" if self.tls else "http"]

    @property
    def place(self) -> str:
        """Host and port, for texts."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def check(url: str, allowed: Allowed) -> None:
    """Raise ``ValueError``, which says why, for a URL that no message could be sent to.

    No name is looked up. Where it leads may have changed when a message is sent, and is checked then.
    """
    target = parse(url)
    addresses = _known_addresses(target)
    if addresses and not any(allowed.permits(target.host, address) for address in addresses):
        raise ValueError(f"{target.host} is not a public address; the setting {SETTING} can allow it")


def parse(url: str) -> Target:
    """Read a URL; raise ``ValueError`` which says what is wrong with it and quotes nothing of it."""
    if len(url) > MAX_LENGTH:
        raise ValueError(f"a webhook's URL has at most {MAX_LENGTH} characters, and this one {len(url)}")
    # What reads URLs drops tabs and line ends without a word.
    if not _VISIBLE.fullmatch(url):
        raise ValueError("a webhook's URL is plain ASCII without spaces; write any other character as %XX")
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("a webhook's URL must begin with https:// or http://")
    host, port = _host_and_port(parts.netloc)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return Target(
        tls=parts.scheme == "https",
        host=str(host),
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        path=path,
        address=None if isinstance(host, str) else host,
    )


def _known_addresses(target: Target) -> tuple[Address, ...]:
    """Return what is known without a look-up; ``localhost`` may be one of these or both."""
    if target.host == "localhost" or target.host.endswith(".localhost"):
        return _LOOPBACK
    return () if target.address is None else (target.address,)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(
            "the brackets in the webhook's URL must hold an IPv6 address, such as [2001:db8::1]"
        ) from None


def _host_and_port(netloc: str) -> tuple[Address | str, int | None]:
    if not netloc:
        raise ValueError("a webhook's URL must name a host, as in https://hooks.example.com/path")
    if "@" in netloc:
        raise ValueError("a webhook's URL must have no user and no password; messages can be signed instead")
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        raise ValueError(
            f"after https:// a webhook's URL must have a host, or host:port with a port from 1 to {LAST_PORT}"
        )
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= LAST_PORT:
        raise ValueError(f"the port in a webhook's URL must be from 1 to {LAST_PORT}")
    return read_host(match["host"]), port
