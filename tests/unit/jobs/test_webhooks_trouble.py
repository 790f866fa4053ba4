"""Webhooks to receivers that misbehave: each call ends in time, and tells no secrets."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from service.jobs.webhooks.allowed import parse_allowed
from service.jobs.webhooks.send import Undelivered, post
from tests.unit.jobs.receivers import (
    PATIENCE,
    Counted,
    Info,
    Reply,
    Resolver,
    endless,
    receiver,
    says,
    silence,
    status,
)

LOOPBACK = parse_allowed("127.0.0.1")
#: More bytes than the kernel holds for a connection.
LARGE = 32 * 1024 * 1024
PATH = "/hook?token=s3cret"
#: Seconds more than its timeout that a call may take on a busy machine; far less than the servers' patience.
SLACK = 5.0


def undelivered(reply: Reply, *, body: bytes = b"{}", timeout: float = PATIENCE, reads: bool = True) -> str:
    """Send to such a server, in time, and return what is said about it."""
    with receiver(reply, reads=reads) as server:
        url = f"http://127.0.0.1:{server.port}{PATH}"
        start = time.monotonic()
        with pytest.raises(Undelivered) as caught:
            post(url, body, {"X-Token": "s3cret"}, allowed=LOOPBACK, timeout=timeout)
    assert time.monotonic() - start < timeout + SLACK
    assert "s3cret" not in str(caught.value)
    assert caught.value.reason == str(caught.value)
    return str(caught.value).replace(f":{server.port}", "")


class TestTime:
    @pytest.mark.parametrize(
        "reply",
        [
            silence,
            endless(b"H", pause=0.05),
            endless(b"x", first=b"HTTP/1.1 200 OK\r\nX: ", pause=0.05),
            endless(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05),
        ],
        ids=["nothing", "status line", "header", "100 Continue"],
    )
    def test_an_answer_that_comes_by_drops_ends_in_time(self, reply: Reply):
        assert undelivered(reply, timeout=0.4) == "127.0.0.1 did not answer within 0.4 s"

    def test_a_receiver_that_reads_nothing_ends_in_time(self):
        told = undelivered(silence, body=bytes(LARGE), timeout=0.4, reads=False)

        assert told == "127.0.0.1 did not answer within 0.4 s"

    def test_a_status_counts_although_the_rest_comes_by_drops(self):
        head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n"
        with receiver(endless(b"x", first=head, pause=0.05)) as server:
            url = f"http://127.0.0.1:{server.port}/"
            start = time.monotonic()
            assert post(url, b"", {}, allowed=LOOPBACK, timeout=0.4) == 202
            assert time.monotonic() - start < 0.4 + SLACK

    def test_a_slow_name_server_ends_in_time(self):
        asked, over = threading.Event(), threading.Event()

        def slow(*_args: object, **_hints: object) -> list[Info]:
            asked.set()
            over.wait(PATIENCE)
            return []

        start = time.monotonic()
        try:
            with pytest.raises(Undelivered, match=r"the name hooks.example was not found within 0.3 s"):
                post("http://hooks.example/", b"", {}, allowed=LOOPBACK, timeout=0.3, resolve=slow)
            assert time.monotonic() - start < 0.3 + SLACK
            assert asked.is_set()
        finally:
            over.set()


class TestMisbehaviour:
    @pytest.mark.parametrize(
        "answer",
        [
            b"HTT",
            b"SSH-2.0-s3cret\r\n",
            b"\r\n\r\n",
            b"\x00\xff\xfe s3cret \r\n\r\n",
            b"HTTP/1.1 s3cret OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/3.0 200 s3cret\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: s3cret\r\n" * 200 + b"\r\n",
        ],
    )
    def test_what_is_not_http_is_told_and_not_quoted(self, answer: bytes):
        assert undelivered(says(answer)) == "127.0.0.1 answered with something other than HTTP/1.1"

    def test_a_connection_that_ends_early_is_told(self):
        assert undelivered(says(b"")) == "127.0.0.1 closed the connection before it answered"

    @pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 1000])
    def test_a_head_without_end_is_not_read_for_long(self, piece: bytes):
        told = undelivered(endless(piece, first=b"HTTP/1.1 100 Continue\r\n\r\n"))

        assert told == "127.0.0.1 sent 64 KiB, and its answer's head was not over"

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
            b"HTTP/1.0 200\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        ],
    )
    def test_of_a_huge_body_little_is_read(self, head: bytes):
        sent = Counted(head)
        with receiver(sent) as server:
            assert (
                post(f"http://127.0.0.1:{server.port}/", b"", {}, allowed=LOOPBACK, timeout=PATIENCE) == 200
            )
            assert sent.ended.wait(PATIENCE)

        # Some was sent that nobody has read: what the kernel holds.
        assert sent.count < LARGE

    def test_an_answer_that_comes_before_everything_was_read_counts(self):
        too_large = status(413)

        with receiver(too_large, reads=False) as server:
            assert post(f"http://127.0.0.1:{server.port}/", bytes(LARGE), {}, allowed=LOOPBACK) == 413

    def test_nobody_listening_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        with pytest.raises(Undelivered, match=rf"^127.0.0.1:{port} takes no connections$"):
            post(f"http://127.0.0.1:{port}{PATH}", b"", {}, allowed=LOOPBACK)

    def test_a_name_that_is_not_known_is_told(self):
        def unknown(*_args: object, **_hints: object) -> list[Info]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with pytest.raises(
            Undelivered, match=r"the name no.example was not found: Name or service not known"
        ):
            post("http://no.example/", b"", {}, allowed=LOOPBACK, resolve=unknown)
        with pytest.raises(Undelivered, match=r"the name no.example has no address"):
            post("http://no.example/", b"", {}, allowed=LOOPBACK, resolve=Resolver())
