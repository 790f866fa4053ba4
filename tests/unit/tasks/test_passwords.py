"""Hashing passwords, and finding out whether one is right."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from service.tasks import InvalidInput
from service.tasks.passwords import _scrypt, hash_password, verify_password

SALT = bytes(range(16))

#: Smallest cost, to be quick.
CHEAP: dict[str, Any] = {"ln": 13, "p": 1}


@pytest.mark.parametrize(
    ("password", "salt", "cost", "key"),
    # Section 12, the first half of each key
    [
        (b"", b"", (4, 1, 1), "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"),
        (
            b"password",
            b"NaCl",
            (10, 8, 16),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162",
        ),
        (
            b"pleaseletmein",
            b"SodiumChloride",
            (14, 8, 1),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
        ),
    ],
)
def test_the_vectors_of_rfc_7914(password: bytes, salt: bytes, cost: tuple[int, int, int], key: str) -> None:
    assert _scrypt(password, salt, cost, 64).hex()[:64] == key


def test_a_hash_tells_how_it_was_made() -> None:
    text = hash_password("correct horse", SALT, **CHEAP)

    assert re.fullmatch(r"\$scrypt\$ln=13,r=8,p=1\$AAECAwQFBgcICQoLDA0ODw\$[A-Za-z0-9+/]{43}", text)
    assert base64.b64decode(text.split("$")[-1] + "=") == _scrypt(b"correct horse", SALT, (13, 8, 1), 32)


def test_the_default_is_what_owasp_names_first() -> None:
    assert hash_password("x").startswith("$scrypt$ln=17,r=8,p=1$")


def test_each_hash_has_a_salt_of_its_own() -> None:
    assert hash_password("x", **CHEAP) != hash_password("x", **CHEAP)
    assert hash_password("x", SALT, **CHEAP) == hash_password("x", SALT, **CHEAP)


@pytest.mark.parametrize("password", ["correct horse", "pässwörd", "\0", "x" * 1024, "🐎"])
def test_the_password_that_was_hashed_is_right_and_no_other(password: str) -> None:
    kept = hash_password(password, ln=13, p=2)

    assert verify_password(password, kept) is True
    assert verify_password(password + " ", kept) is False
    assert verify_password("x", kept) is False


def test_hashes_of_others_are_understood() -> None:
    # From the documentation of passlib.hash.scrypt
    kept = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"

    assert verify_password("password", kept) is True
    assert verify_password("Password", kept) is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
        "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$",
        "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43 + "\n",
        "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 41,
        "$scrypt$ln=14,r=8,p=٣$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=0,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=14,r=0,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=14,r=8,p=0$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=18,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=99,r=99,p=99$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=14,r=8,p=17$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
    ],
)
def test_what_is_no_hash_or_too_dear_is_the_clients_fault(text: str) -> None:
    with pytest.raises(InvalidInput, match="the hash"):
        verify_password("x", text)
