"""Hosts as they stand in a URL, and which addresses are public.

``ipaddress`` knows the special-purpose networks of the day its Python was made; what it lacks, or counts as
global although no server is there for everybody, stands here.
Source: the IANA registries of special-purpose addresses, for IPv4 and for IPv6.
"""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Longest host name that DNS takes.
MAX_NAME = 253

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_SPECIAL_IPV4 = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, which nobody runs any more
)
_UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_IPV6 = (
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments; Teredo, which holds IPv4 addresses, too
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def read_host(text: str) -> Address | str:
    """Return the address that a host (``[...]`` for IPv6) is, or the name in lower case.

    Raises ``ValueError`` for what is neither, such as ``2130706433`` and ``127.1``: what looks up names
    takes these for addresses.
    """
    if text.startswith("[") and text.endswith("]"):
        return _read_ipv6(text[1:-1])
    name = text.lower()
    if _ENDS_IN_NUMBER.fullmatch(name):
        return _read_ipv4(name)
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError(
            "the host must be a name of letters, digits, '-' and '.', in its ASCII form (xn--...), or an"
            " address, an IPv6 address in brackets"
        )
    return name


def _read_ipv4(text: str) -> Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError(
            "a host that ends in a number must be an IPv4 address, four decimal numbers such as 192.0.2.1"
        ) from None


def _read_ipv6(text: str) -> Address:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("in brackets there must be an IPv6 address, such as [2001:db8::1]") from None
    if address.scope_id is not None:
        raise ValueError("an address with a zone (%) has a meaning on one machine only; leave the zone out")
    return address


def destination(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), or the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether the address is one that any machine on the internet could have."""
    address = destination(address)
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    return address in _UNICAST_IPV6 and not any(address in network for network in _SPECIAL_IPV6)
