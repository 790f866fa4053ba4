"""Tasks that keep passwords: slow on purpose, so that guessing is slow too.

A hash is a string that says how it was made: ``$scrypt$ln=17,r=8,p=1$salt$key``, the last two in base64
without padding. Other libraries read it, passlib for one.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Annotated

from pydantic import Field

from service.tasks.invalid_input import InvalidInput
from service.tasks.registry import task

_KEY_BYTES = 32
_SALT_BYTES = 16

_HASH = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})",
    re.ASCII,
)
#: What ``verify_password`` spends at most: 128 MiB, 16 times the work of the default.
_MAX_BLOCKS, _MAX_PASSES = 2**20, 16

Password = Annotated[str, Field(min_length=1, max_length=1024)]


@task(timeout=30)
def hash_password(
    password: Password,
    salt: Annotated[bytes, Field(min_length=16, max_length=64)] | None = None,
    ln: Annotated[int, Field(ge=13, le=17)] = 17,
    p: Annotated[int, Field(ge=1, le=10)] = 1,
) -> str:
    """Hash a password with scrypt (RFC 7914), r = 8; a random salt is made unless one is given.

    It takes 2**ln KiB of memory and time in proportion to 2**ln * p. The default is what OWASP's
    Password Storage Cheat Sheet names first; as strong are ln and p of 16 and 2, 15 and 3, 14 and 5,
    13 and 10. The password is hashed as its UTF-8 bytes and neither kept nor logged.
    """
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    key = _scrypt(password.encode(), salt, (ln, 8, p), _KEY_BYTES)
    return f"$scrypt$ln={ln},r=8,p={p}${_encode(salt)}${_encode(key)}"


@task(timeout=30)
def verify_password(password: Password, hash: Annotated[str, Field(max_length=200)]) -> bool:  # noqa: A002
    """Tell whether the password is the one that was hashed. Takes the time that hashing it took."""
    parts = _HASH.fullmatch(hash)
    if parts is None:
        raise InvalidInput("the hash has another form than $scrypt$ln=…,r=…,p=…$salt$key")
    ln, r, p = (int(number) for number in parts.group(1, 2, 3))
    if not (ln and r and p) or 2**ln * r > _MAX_BLOCKS or p > _MAX_PASSES:
        raise InvalidInput("the hash asks for more memory or time than is spent on one")
    salt, key = _decode(parts[4]), _decode(parts[5])
    return hmac.compare_digest(_scrypt(password.encode(), salt, (ln, r, p), len(key)), key)


def _scrypt(password: bytes, salt: bytes, cost: tuple[int, int, int], length: int) -> bytes:
    ln, r, p = cost
    # What it needs by its definition, and something for OpenSSL itself.
    memory = 128 * r * (2**ln + p + 2) + 2**16
    return hashlib.scrypt(password, salt=salt, n=2**ln, r=r, p=p, maxmem=memory, dklen=length)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise InvalidInput("the salt or the key of the hash is no base64") from None
