"""API keys: how one is made, what is stored of it, and how the store reads.

    keys new NAME ─┬─> the key, for the client ── Authorization: Bearer ─┐
                   └─> a line, for SERVICE_API_KEYS ── parse() ─> Key ───┴─> find()

A key is 256 random bits: nobody finds one by trying, so one round of SHA-256 keeps it as safe as it can be.
Slow hashes such as scrypt protect what people think up; here they would cost each request tens of
milliseconds of a core, and give strangers a way to use all of them up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

#: Most requests that one key's limits can be set to.
MAX_CONCURRENCY = 1000
MAX_PER_MINUTE = 100_000

#: What every key begins with, so that programs that search for lost secrets know one.
PREFIX = "everycore_"

#: A name stands in log lines and is a folder's name.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LIMITS = {"concurrency": MAX_CONCURRENCY, "per-minute": MAX_PER_MINUTE}


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one API key."""

    #: Who it belongs to; it stands in the log.
    name: str
    #: SHA-256 of the key.
    hash: bytes
    #: Requests that may be in progress at once; ``None`` for any number.
    concurrency: int | None = None
    #: Requests in any 60 seconds; ``None`` for any number.
    per_minute: int | None = None

    def line(self) -> str:
        """Return the form that ``parse`` reads."""
        limits = {"concurrency": self.concurrency, "per-minute": self.per_minute}
        set_ones = [f"{name}={most}" for name, most in limits.items() if most is not None]
        return ":".join([self.name, self.hash.hex(), *set_ones])


def new(name: str, *, concurrency: int | None = None, per_minute: int | None = None) -> tuple[str, Key]:
    """Make a key: the text for the client, and what to store. Raises ``ValueError`` for a bad name."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, Key(_name(name), _digest(text.encode()), concurrency, per_minute)


def parse(text: str) -> tuple[Key, ...]:
    """Read lines or comma-separated entries ``name:hash[:concurrency=N][:per-minute=N]``.

    Empty lines and those that begin with ``#`` do not count. Raises ``ValueError`` for a mistake, with
    the name that it stands at and never a hash.
    """
    lines = [line.strip() for line in text.splitlines()]
    entries = [entry.strip() for line in lines if not line.startswith("#") for entry in line.split(",")]
    keys = tuple(_parse_entry(entry) for entry in entries if entry)
    if not keys:
        raise ValueError("there is no key in it; make one with: python -m service keys new NAME")
    for what in ("name", "hash"):
        seen: set[str | bytes] = set()
        for key in keys:
            if getattr(key, what) in seen:
                raise ValueError(f"the {what} of {key.name!r} is there twice")
            seen.add(getattr(key, what))
    return keys


def find(keys: Iterable[Key], presented: bytes) -> Key | None:
    """Return the key that was presented, in a time that does not tell how near a wrong one is."""
    digest = _digest(presented)
    found = None
    for key in keys:
        # No break: neither does it tell which of them was right.
        if hmac.compare_digest(key.hash, digest):
            found = key
    return found


def of_header(keys: Iterable[Key], authorization: str) -> Key | None:
    """Return the key that an ``Authorization`` header presents, ``None`` for anything else."""
    scheme, _, presented = authorization.partition(" ")
    return find(keys, presented.strip().encode()) if scheme.lower() == "bearer" else None


def _parse_entry(entry: str) -> Key:
    name, *rest = entry.split(":")
    name = _name(name)
    if not rest or not _HASH.fullmatch(rest[0]):
        raise ValueError(
            f"{name!r} must be followed by a colon and the 64 hexadecimal digits of the key's hash"
        )
    limits: dict[str, int] = {}
    for limit in rest[1:]:
        what, _, number = limit.partition("=")
        if what not in _LIMITS or what in limits:
            raise ValueError(f"{name!r} takes concurrency=N and per-minute=N, each once, and nothing else")
        if not re.fullmatch(r"[0-9]{1,9}", number) or not 1 <= int(number) <= _LIMITS[what]:
            raise ValueError(f"{what} of {name!r} must be a number from 1 to {_LIMITS[what]}")
        limits[what] = int(number)
    return Key(name, bytes.fromhex(rest[0]), limits.get("concurrency"), limits.get("per-minute"))


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        # What stands in a name's place may be a key that was put there by mistake.
        raise ValueError("a key's name is 1 to 64 letters, digits and _ . -, with no . or - first")
    return name


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
