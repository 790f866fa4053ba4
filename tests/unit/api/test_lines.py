"""The lines of a body that comes in slowly."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Request
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader
from werkzeug.test import EnvironBuilder

from service.api import receiving
from service.api.lines import GRACE, LineFeed
from service.api.problems import BodyTooLarge, BodyTooSlow, MalformedBody


class Sender:
    """The client's end, and the request as Gunicorn hands it to the application."""

    def __init__(self) -> None:
        self.theirs, self.ours = socket.socketpair()
        self.feeds: list[LineFeed] = []

    def request(self, length: int | None) -> Request:
        environ = EnvironBuilder(method="POST").get_environ()
        unreader = SocketUnreader(self.ours)
        if length is None:
            reader = ChunkedReader(object(), unreader)
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
            environ.pop("CONTENT_LENGTH", None)
        else:
            reader = LengthReader(unreader, length)
            environ |= {"CONTENT_LENGTH": str(length)}
        return Request(environ | {"wsgi.input": Body(reader), "gunicorn.socket": self.ours})

    def feed(self, length: int | None = None, limit: int = 1000, until: float = math.inf) -> LineFeed:
        self.feeds.append(LineFeed(self.request(length), limit, until))
        return self.feeds[-1]

    def send(self, text: bytes) -> None:
        self.theirs.sendall(text)

    def chunk(self, text: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(text), text))


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender()
    yield made
    made.theirs.close()
    for feed in made.feeds:
        feed.close()
    made.ours.close()


def flood(sender: Sender) -> int:
    """Send lines until nobody takes more; return how many bytes it was."""
    sender.theirs.settimeout(0.5)
    for sent in range(0, 50_000_000, 10_000):
        try:
            sender.chunk(b"x" * 9_999 + b"\n")
        except TimeoutError:
            return sent
    raise AssertionError("it takes everything")


def following(feed: LineFeed, lines: Iterator[bytes | None]) -> Any:
    """Return the next line, as the engine would wait for it."""
    while (line := next(lines, "end")) is None:
        assert select.select([feed.fd], [], [], 5)[0], "nothing came"
    return line


@pytest.mark.parametrize("kind", ["chunked", "of known length"])
def test_a_line_is_there_as_soon_as_it_was_sent(sender: Sender, kind: str) -> None:
    feed = sender.feed(None if kind == "chunked" else 12)
    lines = iter(feed)
    send = sender.chunk if kind == "chunked" else sender.send
    assert next(lines) is None

    send(b"one\n\ntw")
    assert following(feed, lines) == b"one"
    assert next(lines) is None
    send(b"o\n")
    assert following(feed, lines) == b"two"
    send(b"end")
    if kind == "chunked":
        sender.send(b"0\r\n\r\n")
    assert following(feed, lines) == b"end"
    assert following(feed, lines) == "end"


def test_lines_come_through_whole_however_they_are_cut(sender: Sender) -> None:
    sent = [b"%d %s" % (n, b"x" * (n % 300)) for n in range(2000)]
    text = b"\n".join(sent)
    feed = sender.feed()

    def send() -> None:
        for start in range(0, len(text), 997):
            sender.chunk(text[start : start + 997])
        sender.send(b"0\r\n\r\n")

    thread = threading.Thread(target=send)
    thread.start()
    lines = iter(feed)
    got = []
    while (line := following(feed, lines)) != "end":
        got.append(line)
    thread.join()
    assert got == sent


def test_a_line_beyond_the_limit_ends_it_after_those_before(sender: Sender) -> None:
    feed = sender.feed(limit=100)
    lines = iter(feed)
    sender.chunk(b"short\n")
    assert following(feed, lines) == b"short"
    sender.chunk(b"x" * 101)
    with pytest.raises(BodyTooLarge):
        following(feed, lines)


@pytest.mark.parametrize("length", [None, 100])
def test_a_body_that_breaks_off_is_malformed(sender: Sender, length: int | None) -> None:
    feed = sender.feed(length)
    lines = iter(feed)
    (sender.send if length else sender.chunk)(b"one\n")
    assert following(feed, lines) == b"one"
    sender.theirs.close()
    with pytest.raises(MalformedBody):
        following(feed, lines)


def test_a_body_that_does_not_come_in_time_is_too_slow(sender: Sender) -> None:
    feed = sender.feed(until=time.monotonic() + 0.1 - GRACE)
    lines = iter(feed)
    time.sleep(0.1)
    receiving.enforce()
    with pytest.raises(BodyTooSlow):
        following(feed, lines)


def test_nothing_is_read_far_ahead_of_who_takes_it(sender: Sender) -> None:
    sender.feed(limit=10**6)
    assert flood(sender) < 5_000_000


def test_closing_it_ends_its_thread_wherever_that_is(sender: Sender) -> None:
    waiting_for_the_client, full = sender.feed(), Sender()
    full_feed = full.feed(limit=10**6)
    flood(full)
    for feed in (waiting_for_the_client, full_feed):
        began = time.monotonic()
        feed.close()
        assert time.monotonic() - began < 2
    sender.feeds.clear()
    full.theirs.close()
    full.ours.close()
