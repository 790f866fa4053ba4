"""Headers of requests that concern jobs: ``Prefer`` and ``Idempotency-Key``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Request
from werkzeug.http import parse_list_header

from service.api.problems import InvalidHeader

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client would like (RFC 7240)."""

    #: Not to wait.
    respond_async: bool = False
    #: Seconds to wait; ``None`` when it does not say.
    wait: int | None = None

    @property
    def wants_job(self) -> bool:
        """Whether a call should go on when nobody waits for it any more."""
        return self.respond_async or self.wait is not None

    @property
    def applied(self) -> str:
        """The value of ``Preference-Applied``."""
        named = ["respond-async"] * self.respond_async
        return ", ".join(named if self.wait is None else [*named, f"wait={self.wait}"])


def preferences(request: Request) -> Preferences:
    """Read ``Prefer``; what is not known, or has no sense, is passed over, as the standard has it."""
    found: dict[str, str] = {}
    for preference in parse_list_header(request.headers.get("Prefer", "")):
        name, _, value = preference.partition(";")[0].partition("=")
        # Of several the first counts.
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = found.get("wait", "")
    return Preferences("respond-async" in found, int(wait) if _SECONDS.fullmatch(wait) else None)


def idempotency_key(request: Request) -> str | None:
    """Read ``Idempotency-Key``; raises ``InvalidHeader``."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidHeader("Idempotency-Key must be 1 to 255 visible ASCII characters, without spaces")
    return key
