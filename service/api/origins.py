"""Which hosts the service answers to, and which pages may call it.

Without keys a service on loopback trusts its machine, but not every page that a browser there shows. Such a
page can send requests to 127.0.0.1 and, if the name it came from is made to lead there (DNS rebinding), read
the answers. What it sends can be told by ``Host``, by ``Origin``, or by ``Sec-Fetch-Site: cross-site``.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden, MisdirectedRequest
from werkzeug.sansio.utils import host_is_trusted

from service.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Names of this machine that no DNS server can give to another.
OWN = ("localhost", ".localhost")
SETTING = "SERVICE_ALLOWED_HOSTS"
#: Looked up once each; who sends many different ones has them looked up again.
_REMEMBERED = 256


def install(app: Flask, settings: Settings) -> None:
    """Look at each request, before anything else does, unless keys are needed: a page has none."""
    if (allowed := allowed_names(settings)) is not None:
        app.before_request(Doorman(allowed).look)


def allowed_names(settings: Settings) -> tuple[str, ...] | None:
    """Return the names that requests may ask for, beside addresses; ``None`` for any."""
    allowed = settings.allowed_hosts
    if allowed is None:
        allowed = () if settings.is_on_loopback else ("*",)
    return (*OWN, *allowed) if settings.api_keys is None and "*" not in allowed else None


class Doorman:
    """Lets requests in that are meant for this service, and that no strange page has made."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """``allowed`` are names; one that begins with a dot stands for all below it."""
        self._allowed = allowed
        self._knows = functools.lru_cache(_REMEMBERED)(self._is_allowed)

    def look(self) -> None:
        """Let the request in, or raise ``MisdirectedRequest`` or ``Forbidden``."""
        environ = request.environ
        host, origin = environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")
        # No browser leaves it out.
        if host is not None and not _is_address(host) and not self._knows(host):
            names = ", ".join(self._allowed)
            raise MisdirectedRequest(
                f"this service goes by addresses and {names}, not by {host!r}; {SETTING} can name it"
            )
        if origin is not None and not self._may_call(origin, host):
            raise Forbidden(f"a page from {origin!r} may not call this service; {SETTING} can name its host")
        if origin is None and _is_from_elsewhere(environ):
            raise Forbidden(f"a page of another host may not call this service; {SETTING} can name it")

    def _may_call(self, origin: str, host: str | None) -> bool:
        try:
            theirs = urlsplit(origin).netloc
        except ValueError:  # half an IPv6 address, for one
            return False
        return bool(theirs) and (theirs == host or self._knows(theirs))

    def _is_allowed(self, host: str) -> bool:
        return host_is_trusted(host.lower(), self._allowed) or _is_loopback(host)


def _is_from_elsewhere(environ: WSGIEnvironment) -> bool:
    """Tell whether a browser says that another site's page asks; who follows a link asks for itself."""
    site, kind = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_SEC_FETCH_DEST")
    return site == "cross-site" and kind != "document"


def _is_address(host: str) -> bool:
    """Tell whether it is an address: no name leads to it, so no page can have come from there by a name.

    Of 0.0.0.0 browsers do not say from where it is asked for.
    """
    address = _address(host)
    return address is not None and not address.is_unspecified


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_loopback


@functools.lru_cache(_REMEMBERED)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return None
