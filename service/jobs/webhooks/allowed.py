"""What may be called although it is not public.

SERVICE_WEBHOOK_ALLOW ─> parse_allowed() ─> Allowed ─┬─> target.check(), when a job is submitted
                                                     └─> send.post(), each time a message is sent
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from service.jobs.webhooks.addresses import Address, destination, is_public, read_host

#: The setting, for texts that tell what would be right.
SETTING = "SERVICE_WEBHOOK_ALLOW"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Allowed:
    """Networks and names that may be called beside all public addresses; none by default."""

    networks: tuple[Network, ...] = ()
    #: In lower case; whatever address such a name has may be called by it.
    names: frozenset[str] = frozenset()

    def permits(self, host: str, address: Address) -> bool:
        """Whether ``host``, in lower case, may be called at ``address``."""
        if host in self.names or is_public(address):
            return True
        forms = (address, destination(address))
        return any(form in network for form in forms for network in self.networks)


def parse_allowed(entries: str | Iterable[str]) -> Allowed:
    """Read networks, addresses and host names, as a list or separated by commas.

    Raises ``ValueError`` which names the entry that is wrong.
    """
    parts = entries.split(",") if isinstance(entries, str) else entries
    networks: list[Network] = []
    names: set[str] = set()
    for part in filter(None, map(str.strip, parts)):
        entry = _read(part)
        if isinstance(entry, str):
            names.add(entry)
        else:
            networks.append(entry)
    return Allowed(tuple(networks), frozenset(names))


def _read(entry: str) -> Network | str:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return _read_name(entry)
    if "/" in entry and network.network_address != ipaddress.ip_interface(entry).ip:
        # It may be a wrong prefix as well as a wrong address, and what is allowed must not be a guess.
        raise ValueError(f"{entry!r} is an address within {network}; write that, or the address alone")
    return network


def _read_name(entry: str) -> str:
    try:
        host = read_host(entry)
    except ValueError:
        host = None
    if isinstance(host, str):
        return host
    raise ValueError(
        f"{entry!r} is none of what can be allowed: a network such as 10.0.0.0/8 or fd00::/8, an address,"
        " or a whole host name such as hooks.internal, without port"
    )
