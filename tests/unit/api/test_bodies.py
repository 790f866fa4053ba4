"""Bodies: bounded, whole, or refused."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from flask import Request
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from service.api.bodies import parse_multipart, read_body
from service.api.problems import BodyTooLarge, MalformedBody
from tests.unit.api.conftest import MAX_BODY

URL = "/v1/tasks/sum_of_squares"
SOON = math.inf


class Stream(io.BytesIO):
    """A server's stream that remembers how much was asked of it and hands out little at a time."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        super().__init__(data)
        self.taken = 0
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(min(size or 0, 1000))
        self.taken += len(part)
        if not part and self.error:
            raise self.error
        return part


def request(stream: io.BytesIO, **environ: Any) -> Request:
    base = EnvironBuilder(method="POST").get_environ()
    base.pop("CONTENT_LENGTH", None)
    return Request(base | {"wsgi.input": stream} | environ)


def chunked(stream: io.BytesIO) -> Request:
    return request(stream, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})


def test_a_body_of_known_length_is_read_to_its_end_and_no_further() -> None:
    stream = Stream(b"x" * 5000 + b"the next request")

    assert read_body(request(stream, CONTENT_LENGTH="5000"), 5000, SOON) == b"x" * 5000
    assert stream.taken == 5000


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    stream = Stream(b"x" * 5001)

    with pytest.raises(BodyTooLarge, match="5000 bytes"):
        read_body(request(stream, CONTENT_LENGTH="5001"), 5000, SOON)

    assert stream.taken == 0


def test_a_chunked_body_within_the_limit_is_read() -> None:
    assert read_body(chunked(Stream(b"x" * 5000)), 5000, SOON) == b"x" * 5000


def test_a_chunked_body_over_the_limit_is_refused_not_cut() -> None:
    stream = Stream(b"x" * 1_000_000)

    with pytest.raises(BodyTooLarge):
        read_body(chunked(stream), 5000, SOON)

    assert stream.taken == 5001


def test_a_body_that_ends_early_is_refused() -> None:
    with pytest.raises(MalformedBody, match="ends after 3 of 10 bytes"):
        read_body(request(Stream(b"abc"), CONTENT_LENGTH="10"), 100, SOON)


def test_a_body_that_breaks_off_is_refused() -> None:
    """Servers raise errors of their own for a bad chunk."""
    with pytest.raises(MalformedBody, match="breaks off"):
        read_body(chunked(Stream(b"abc", RuntimeError("bad chunk"))), 100, SOON)


def test_no_body_is_empty() -> None:
    """Without a length and a server that ends the stream, reading would wait for ever."""
    stream = Stream(b"never read")

    assert read_body(request(stream), 100, SOON) == b""
    assert stream.taken == 0


def test_a_large_file_of_a_form_stays_in_memory() -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body = head + b"y" * 2_000_000 + b"\r\n--x--\r\n"
    given = request(io.BytesIO(), CONTENT_TYPE="multipart/form-data; boundary=x")

    _, files = parse_multipart(given, body)

    assert isinstance(files["f"].stream, io.BytesIO)
    assert files["f"].read() == b"y" * 2_000_000


@pytest.mark.parametrize("excess", [1, 1_000_000])
def test_the_application_refuses_a_chunked_body_over_its_limit(client: FlaskClient, excess: int) -> None:
    answer = client.post(
        URL,
        input_stream=io.BytesIO(b" " * (MAX_BODY + excess)),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
        content_type="application/json",
    )

    assert answer.status_code == 413
    assert str(MAX_BODY) in answer.get_json()["detail"]
    assert answer.headers["Connection"] == "close"


def test_the_application_takes_a_chunked_body_up_to_its_limit(client: FlaskClient) -> None:
    answer = client.post(
        URL,
        input_stream=io.BytesIO(b'{"n": 5}'.ljust(MAX_BODY)),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
        content_type="application/json",
    )

    assert answer.get_json()["result"] == 30


def test_the_application_refuses_a_cut_off_body(client: FlaskClient) -> None:
    answer = client.post(
        URL,
        input_stream=io.BytesIO(b'{"n": 5}'),
        environ_overrides={"CONTENT_LENGTH": "9"},
        content_type="application/json",
    )

    assert answer.status_code == 400
    assert answer.get_json()["type"] == "/problems/malformed-body"
