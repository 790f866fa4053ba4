"""What the proxy does to requests: passes them on as they are, at once, and lets them wait for a server."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.containers.stack import Stack, eventually
from tests.containers.versions import Versions
from tests.e2e.raw_http import connected, read_answer

pytestmark = pytest.mark.timeout(400)

NDJSON = "application/x-ndjson"
JSON = ("Content-Type: application/json",)
PROBLEM = "application/problem+json"
#: Seconds until the work of a client that has gone is ended: the service promises one.
SOON = 10.0


@pytest.fixture
def stack(versions: Versions) -> Iterator[Stack]:
    """The service with the tasks of ``versions``, and with nothing left of earlier calls."""
    found = versions.stack
    forget(found)
    yield found
    forget(found)


def forget(stack: Stack) -> None:
    stack.execute("web", "sh", "-c", "rm -f /tmp/go /tmp/at-work-*")


def at_work(stack: Stack) -> list[str]:
    """Return the processes that run one of the tasks that leave a note."""
    script = 'for note in /tmp/at-work-*; do pid=${note##*-}; [ ! -d "/proc/$pid" ] || echo "$pid"; done'
    return stack.execute("web", "sh", "-c", script).split()


def port(stack: Stack) -> int:
    found = urlsplit(stack.url).port
    assert found
    return found


def post(path: str, body: str, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", body]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def received_until(sock: socket.socket, sign: bytes) -> bytes:
    """Return what comes until there is that sign in it."""
    sock.settimeout(20)
    received = b""
    while sign not in received:
        piece = sock.recv(4096)
        assert piece, received
        received += piece
    return received


class TestStreams:
    @pytest.mark.parametrize("accept", [NDJSON, "text/event-stream"])
    def test_each_item_is_sent_when_it_is_there(self, stack, accept):
        with httpx.stream(
            "POST", f"{stack.url}/v1/tasks/gated", json={}, headers={"Accept": accept}, timeout=30
        ) as answer:
            lines = (line for line in answer.iter_lines() if "first" in line or "second" in line)
            assert "first" in next(lines)
            # Only now can there be a second.
            stack.execute("web", "touch", "/tmp/go")
            assert "second" in next(lines)

    def test_so_is_each_item_of_a_request(self, stack):
        head = post("/v1/tasks/sum_of_squares/map", "", f"Content-Type: {NDJSON}", f"Accept: {NDJSON}")
        chunked = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        with connected(port(stack), chunked, chunk(b'{"n": 3}\n')) as sock:
            # Only when it has the first result it sends what is left.
            received = received_until(sock, b'"result":5')
            sock.sendall(chunk(b'{"n": 4}\n') + chunk(b""))
            assert b'"result":14' in received + received_until(sock, b'"summary"')

    def test_who_asks_whether_to_go_on_is_told_before_the_body(self, stack):
        body = '{"n": 5}'
        head, _, _ = post("/v1/tasks/sum_of_squares", body, *JSON, "Expect: 100-continue").partition(
            b"\r\n\r\n"
        )
        with connected(port(stack), head + b"\r\n\r\n") as sock:
            assert received_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            sock.sendall(body.encode())
            assert json.loads(read_answer(sock).body)["result"] == 30


class TestHangUps:
    @pytest.mark.parametrize("task", ["spin", "gated"])
    def test_the_work_of_a_client_that_has_gone_ends(self, stack, task):
        """One before there is an answer, the other in the middle of one, with nothing to be sent."""
        with connected(port(stack), post(f"/v1/tasks/{task}", "{}", *JSON, f"Accept: {NDJSON}")) as sock:
            if task == "gated":
                received_until(sock, b"first")
            eventually(lambda: len(at_work(stack)) == 1, 20, stack.logs)

        eventually(lambda: not at_work(stack), SOON, stack.logs)


class TestHeaders:
    def test_what_the_service_takes_is_not_too_large_for_the_proxy(self, stack):
        query = "x" * 31_000
        headers = {f"X-Long-{number}": "y" * 8000 for number in range(3)}

        answer = httpx.get(f"{stack.url}/healthz?{query}", headers=headers)

        assert answer.status_code == 200

    def test_a_request_keeps_its_id(self, stack):
        answer = httpx.get(f"{stack.url}/healthz", headers={"X-Request-ID": "order-4713"})

        assert answer.headers["X-Request-ID"] == "order-4713"


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the problem document of an answer, which must be that one."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM), answer.text
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} == set(found)
    assert (found["type"], found["status"]) == (f"/problems/{slug}", status)
    return found


@contextmanager
def without_web(stack: Stack, **variables: str) -> Iterator[None]:
    """Have no container of web, and so none that the proxy could find by name."""
    stack.compose("rm", "--stop", "--force", "web")
    try:
        yield
    finally:
        stack.up("--no-build", **variables)


class TestWithoutAServer:
    def test_a_request_waits_for_one(self, stack):
        # However long the engine takes to start one: 100 seconds are the most that it is given.
        patient = {"PROXY_TRIES": "480"}
        stack.up("--no-build", "--no-deps", "proxy", **patient)
        with ThreadPoolExecutor() as threads:
            with without_web(stack, **patient):
                answer = threads.submit(
                    httpx.post, f"{stack.url}/v1/tasks/sum_of_squares", json={"n": 5}, timeout=150
                )
                eventually(lambda: waiting(stack) == 1, 20, stack.logs)
            eventually(answer.done, SOON, stack.logs)
        found = answer.result()
        stack.up("--no-build")
        assert found.status_code == 200, found.text
        assert found.json()["result"] == 30

    def test_but_not_for_ever(self, stack):
        stack.up("--no-build", "--no-deps", "proxy", PROXY_TRIES="4")
        with without_web(stack):
            answer = httpx.get(f"{stack.url}/a/path", timeout=20)

            assert problem(answer, 503, "service-unavailable")["instance"] == "/a/path"
            assert int(answer.headers["Retry-After"]) > 0
            said = stack.compose("logs", "--no-log-prefix", "--no-color", "proxy")
            (line,) = re.findall(r"\{.*\}", said)
            assert json.loads(line)["status"] == 503
        assert stack.get("/healthz") == {"status": "ok"}

    def test_one_that_may_have_begun_is_not_sent_again(self, stack):
        before = stack.container("web")["RestartCount"]
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(httpx.post, f"{stack.url}/v1/tasks/spin", json={}, timeout=60)
            eventually(lambda: len(at_work(stack)) == 1, 20, stack.logs)
            stack.kill_main_process("web")
            problem(answer.result(), 502, "bad-gateway")
        eventually(lambda: stack.container("web")["RestartCount"] == before + 1, 60, stack.logs)
        eventually(lambda: stack.container("web")["State"]["Health"]["Status"] == "healthy", 60, stack.logs)
        assert at_work(stack) == []


def waiting(stack: Stack) -> int:
    """Return how many requests the proxy holds."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8405/metrics').read().decode())"
    lines = stack.execute("proxy", "python", "-c", ask).splitlines()
    (found,) = (line for line in lines if line.startswith('haproxy_backend_current_sessions{proxy="web"}'))
    return int(float(found.split()[-1]))


def test_it_hears_of_a_half_closed_client(stack):
    """The service counts such a client as gone, and so must it through the proxy."""
    with connected(port(stack), post("/v1/tasks/spin", "{}", *JSON)) as sock:
        eventually(lambda: len(at_work(stack)) == 1, 20, stack.logs)
        sock.shutdown(socket.SHUT_WR)
        eventually(lambda: not at_work(stack), SOON, stack.logs)
