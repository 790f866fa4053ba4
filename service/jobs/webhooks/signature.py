"""Signatures of messages, by the Standard Webhooks specification 1.0.0 (HMAC-SHA256, ``v1``).

sender    secret ─> sign() ─> webhook-id, webhook-timestamp, webhook-signature
receiver  the three and the body as it came ─> verify() ─> nothing, or Unverified

What is signed is ``id.timestamp.body``. A retry has the same id, and a timestamp of its own.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from service.errors import EverycoreError

#: What a secret in base64 begins with.
PREFIX = "whsec_"
#: Least bytes of a secret: 192 bits.
LEAST_BYTES = 24
#: Seconds that a timestamp may be off, in either direction.
TOLERANCE = 300.0

_ADVICE = f"make one with: echo {PREFIX}$(openssl rand -base64 32)"
_MESSAGE_ID = re.compile(r"[!-\-/-~]+")  # what is visible in ASCII, but the full stop
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Unverified(EverycoreError):
    """A message is not shown to come from who has the secret, or is too old."""


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret: ``whsec_`` and base64, or any other text as it is.

    Raises ``ValueError`` if it is too short or not base64; the secret is not in the error's text.
    """
    secret = _decode(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else text.encode()
    if len(secret) < LEAST_BYTES:
        raise ValueError(
            f"a webhook secret needs at least {LEAST_BYTES} bytes, and this one has {len(secret)}; {_ADVICE}"
        )
    return secret


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers to send with ``body``; ``timestamp`` is in seconds since the epoch.

    Raises ``ValueError`` for a secret that ``read_secret`` refuses, and for an id with anything but visible
    ASCII characters or with a full stop, which could be taken for the end of it.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message's id is made of visible ASCII characters without a full stop")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": _signature(read_secret(secret), message_id, str(timestamp), body),
    }


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Raise ``Unverified`` unless one of the message's signatures fits; for receivers.

    ``body`` must be the bytes as they came; JSON that was read and written again may differ. Raises
    ``ValueError`` for a secret that ``read_secret`` refuses.
    """
    key = read_secret(secret)
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (
        _header(given, f"webhook-{name}") for name in ("id", "timestamp", "signature")
    )
    _check_age(timestamp, time.time() if now is None else now, tolerance)
    expected = _signature(key, message_id, timestamp, body).encode()
    # There is one for each secret that is in use while a secret is being replaced by another.
    fitting = [hmac.compare_digest(expected, each.encode(errors="replace")) for each in signatures.split(" ")]
    if not any(fitting):
        raise Unverified(
            "no signature in webhook-signature fits; the secret is another, or the body was changed"
        )


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError(f"after {PREFIX} a webhook secret must be base64; {_ADVICE}") from None


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _header(headers: Mapping[str, str], name: str) -> str:
    if not (value := headers.get(name)):
        raise Unverified(f"there is no {name} header")
    return value


def _check_age(timestamp: str, now: float, tolerance: float) -> None:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unverified("webhook-timestamp must be whole seconds since the epoch")
    if abs(now - int(timestamp)) > tolerance:
        raise Unverified(f"webhook-timestamp is more than {tolerance:g} s away from this machine's time")
