"""Webhooks over real sockets: what is sent, and where to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket

import pytest

from service.jobs.webhooks.allowed import Allowed, parse_allowed
from service.jobs.webhooks.deadline import Deadline
from service.jobs.webhooks.send import Refused, Undelivered, _exchange, post
from service.jobs.webhooks.signature import sign
from service.jobs.webhooks.target import parse
from service.jobs.webhooks.wire import Line
from tests.unit.jobs.receivers import Info, Resolver, full, receiver, status

LOOPBACK = parse_allowed("127.0.0.0/8")
PATH = "/hook?token=s3cret"


class TestWhatIsSent:
    def test_a_signed_message_arrives_as_it_was_signed(self):
        key = bytes(range(32))
        secret = f"whsec_{base64.b64encode(key).decode()}"
        body = b'{"type": "job.succeeded"}'
        headers = {"Content-Type": "application/json", **sign(secret, "msg_1", 1_700_000_000, body)}

        with receiver(status(204)) as server:
            answer = post(f"http://127.0.0.1:{server.port}{PATH}", body, headers, allowed=LOOPBACK)

        assert answer == 204
        [request] = server.requests
        assert request.line == f"POST {PATH} HTTP/1.1"
        assert request.body == body
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["content-length"] == str(len(body))
        assert request.headers["connection"] == "close"
        # Then whoever knows the secret computes the same, by the words of the specification
        content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(key, content, hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"

    def test_the_status_is_returned_whichever_it_is(self):
        for code in (200, 404, 410, 429, 500, 599):
            with receiver(status(code, body=b"why")) as server:
                assert post(f"http://127.0.0.1:{server.port}/", b"{}", {}, allowed=LOOPBACK) == code

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, code: int):
        with receiver(status(200)) as elsewhere:
            location = f"Location: http://127.0.0.1:{elsewhere.port}/"
            with receiver(status(code, location)) as server:
                assert post(f"http://127.0.0.1:{server.port}/", b"{}", {}, allowed=LOOPBACK) == code

        assert len(server.requests) == 1
        assert elsewhere.requests == []

    def test_no_proxy_of_the_environment_is_asked(self, monkeypatch):
        with receiver(status(200)) as server, receiver(status(502)) as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

            assert post(f"http://127.0.0.1:{server.port}/", b"", {}, allowed=LOOPBACK) == 200

        assert proxy.requests == []

    def test_a_body_of_nothing_has_a_length_too(self):
        with receiver(status(200)) as server:
            post(f"http://127.0.0.1:{server.port}", b"", {}, allowed=LOOPBACK)

        assert server.requests[0].headers["content-length"] == "0"
        assert server.requests[0].line == "POST / HTTP/1.1"

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://hooks.example/", "hooks.example"),
            ("http://hooks.example:80/", "hooks.example"),
            ("https://hooks.example:80/", "hooks.example:80"),
            ("http://[2606:4700::1111]/", "[2606:4700::1111]"),
            ("http://[2606:4700::1111]:443/", "[2606:4700::1111]:443"),
        ],
    )
    def test_a_port_that_goes_without_saying_is_not_said(self, url: str, host: str):
        # Such ports can't be listened to in a test
        here, there = socket.socketpair()
        with here, there:
            there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert _exchange(parse(url), Line(here, Deadline(5)), b"", {}) == 200
            request = there.recv(4096).decode()

        assert f"\r\nHost: {host}\r\n" in request


class TestWhereTo:
    def test_a_private_address_is_refused_unless_it_is_allowed(self):
        with receiver(status(200)) as server:
            url = f"http://127.0.0.1:{server.port}{PATH}"
            for allowed in (Allowed(), parse_allowed("10.0.0.0/8,hooks.example")):
                with pytest.raises(Refused, match=r"127\.0\.0\.1 has an address that is not public"):
                    post(url, b"", {}, allowed=allowed)
            assert server.requests == []

            assert post(url, b"", {}, allowed=parse_allowed("127.0.0.1")) == 200

    def test_a_name_may_be_allowed_or_the_network_that_it_leads_to(self):
        with receiver(status(200)) as server:
            url = f"http://Hooks.Example:{server.port}/"
            for allowed in ("hooks.example", "127.0.0.0/8"):
                resolve = Resolver("127.0.0.1")
                assert post(url, b"", {}, allowed=parse_allowed(allowed), resolve=resolve) == 200

            with pytest.raises(Refused):
                post(url, b"", {}, allowed=parse_allowed("other.example"), resolve=Resolver("127.0.0.1"))

        assert [request.headers["host"] for request in server.requests] == [
            f"hooks.example:{server.port}"
        ] * 2

    def test_the_system_s_own_look_up_is_the_default(self):
        with receiver(status(200)) as server:
            allowed = parse_allowed("localhost")

            assert post(f"http://localhost:{server.port}/", b"", {}, allowed=allowed) == 200

    @pytest.mark.parametrize(
        "addresses",
        [("10.0.0.1", "8.8.8.8"), ("8.8.8.8", "10.0.0.1"), ("8.8.8.8", "::ffff:a00:1"), ("fe80::1",)],
    )
    def test_a_name_with_one_private_address_is_refused_and_the_address_not_told(self, addresses):
        with pytest.raises(Refused) as caught:
            post(f"http://hooks.example{PATH}", b"", {}, allowed=LOOPBACK, resolve=Resolver(*addresses))

        assert str(caught.value) == (
            "hooks.example has an address that is not public; the setting SERVICE_WEBHOOK_ALLOW can allow it"
        )
        assert caught.value.address in addresses
        assert isinstance(caught.value, Undelivered)

    def test_a_name_is_looked_up_once_and_what_was_checked_is_called(self):
        # Given a name server that gives a good address first, and a bad one to whoever asks again
        resolve = Resolver("127.0.0.1")

        def rebinding(host: str, port: int, **hints: object) -> list[Info]:
            answer = resolve(host, port, **hints)
            resolve.addresses = ("10.0.0.1",)
            return answer

        with receiver(status(200)) as server:
            url = f"http://hooks.example:{server.port}/"
            assert post(url, b"", {}, allowed=LOOPBACK, resolve=rebinding) == 200

        assert resolve.asked == ["hooks.example"]

    def test_the_next_address_is_called_when_one_takes_no_connection(self):
        with receiver(status(200)) as server:
            url = f"http://hooks.example:{server.port}/"
            assert post(url, b"", {}, allowed=LOOPBACK, resolve=Resolver("127.0.0.2", "127.0.0.1")) == 200

    def test_an_address_that_stays_silent_leaves_time_for_the_next(self):
        with receiver(status(200)) as server, full("127.0.0.2", server.port):
            url = f"http://hooks.example:{server.port}/"
            addresses = Resolver("127.0.0.2", "127.0.0.1")

            assert post(url, b"", {}, allowed=LOOPBACK, timeout=2.0, resolve=addresses) == 200

    def test_a_url_that_is_none_is_a_mistake_of_the_caller(self):
        with pytest.raises(ValueError, match="must begin with https://"):
            post("gopher://127.0.0.1/", b"", {}, allowed=LOOPBACK)
