"""Webhooks over TLS: the connection goes to a checked address, the certificate has to be the name's."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.jobs.webhooks.allowed import parse_allowed
from service.jobs.webhooks.send import Undelivered, post
from tests.unit.jobs.receivers import PATIENCE, Reply, Resolver, endless, receiver, says, silence, status

LOOPBACK = parse_allowed("127.0.0.1")

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@dataclass
class Identity:
    """A server's side, which notes the names that clients asked for, and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    asked: list[str | None] = field(default_factory=list)


def make_identity(folder: Path, subject: str) -> Identity:
    """Make a certificate that stands for itself, for ``DNS:name`` or ``IP:address``."""
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    )
    extensions = [f"subjectAltName={subject}", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate]
        + [part for extension in extensions for part in ("-addext", extension)],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    identity = Identity(server, ssl.create_default_context(cafile=certificate))
    server.sni_callback = lambda _sock, name, _context: identity.asked.append(name)
    return identity


@pytest.fixture(scope="module")
def named(tmp_path_factory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("named"), "DNS:hooks.example")


def test_the_name_is_asked_for_and_the_address_connected_to(named: Identity):
    resolve = Resolver("127.0.0.1")

    with receiver(status(200), named.server) as server:
        url = f"https://hooks.example:{server.port}/x?y"
        answer = post(url, b"body", {}, allowed=LOOPBACK, resolve=resolve, context=named.client)

    assert answer == 200
    assert named.asked[-1] == "hooks.example"
    assert resolve.asked == ["hooks.example"]
    [request] = server.requests
    assert (request.line, request.body) == ("POST /x?y HTTP/1.1", b"body")
    assert request.headers["host"] == f"hooks.example:{server.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_not_taken(named: Identity, host: str):
    with receiver(status(200), named.server) as server:
        url = f"https://{host}:{server.port}/?token=s3cret"
        with pytest.raises(Undelivered, match=rf"{host}:\d+ has no certificate .*{host}") as caught:
            post(url, b"", {}, allowed=LOOPBACK, resolve=Resolver("127.0.0.1"), context=named.client)

    assert server.requests == []
    assert "s3cret" not in str(caught.value)


def test_a_certificate_of_nobody_known_is_not_taken(named: Identity):
    with receiver(status(200), named.server) as server:
        url = f"https://hooks.example:{server.port}/"
        with pytest.raises(Undelivered, match="has no certificate that can be trusted: self-signed"):
            post(url, b"", {}, allowed=LOOPBACK, resolve=Resolver("127.0.0.1"))

    assert server.requests == []


def test_a_certificate_may_be_an_address_s(tmp_path: Path):
    identity = make_identity(tmp_path, "IP:127.0.0.1")

    with receiver(status(201), identity.server) as server:
        url = f"https://127.0.0.1:{server.port}/"
        assert post(url, b"", {}, allowed=LOOPBACK, context=identity.client) == 201


def test_what_is_not_tls_is_told(named: Identity):
    with receiver(says(b"220 a server of mail\r\n"), reads=False) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with pytest.raises(Undelivered, match="does not speak TLS as it should: WRONG_VERSION_NUMBER"):
            post(url, b"", {}, allowed=LOOPBACK, context=named.client)


@pytest.mark.parametrize(
    "reply",
    [silence, endless(b"x", first=b"\x16\x03\x03\x3f\xff", pause=0.05)],
    ids=["no word", "a byte at a time"],
)
def test_a_handshake_without_end_ends_in_time(named: Identity, reply: Reply):
    with receiver(reply, reads=False) as server:
        url = f"https://127.0.0.1:{server.port}/"
        start = time.monotonic()
        with pytest.raises(Undelivered, match=r"did not answer within 0\.4 s"):
            post(url, b"", {}, allowed=LOOPBACK, timeout=0.4, context=named.client)

    assert time.monotonic() - start < PATIENCE / 2


def test_an_answer_that_comes_by_drops_ends_in_time(named: Identity):
    resolve = Resolver("127.0.0.1")

    with receiver(endless(b"H", pause=0.05), named.server) as server:
        url = f"https://hooks.example:{server.port}/"
        start = time.monotonic()
        with pytest.raises(Undelivered, match=r"did not answer within 0\.4 s"):
            post(url, b"", {}, allowed=LOOPBACK, timeout=0.4, resolve=resolve, context=named.client)

    assert time.monotonic() - start < PATIENCE / 2
