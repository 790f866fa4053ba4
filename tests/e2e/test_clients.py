"""Clients that leave, that read slowly, that send slowly, and that come in too great a number."""

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests.e2e.running import Service, wait_until

TASKS = '''
import itertools, os, time
from collections.abc import Iterator
from pathlib import Path
from service.tasks import task

@task
def spin(seconds: float = 60) -> int:
    """Compute, and leave a note of who does."""
    Path(f"spins-{os.getpid()}").touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpid()

@task
def count(n: int = 0) -> Iterator[int]:
    """Count, for ever by default, and leave a note of who does."""
    Path(f"spins-{os.getpid()}").touch()
    yield from range(n) if n else itertools.count()

@task
def large() -> bytes:
    """Return more than sockets hold."""
    return b"x" * 30_000_000

@task(cpu=0)
def stages() -> Iterator[str]:
    """Wait for a file between two items."""
    yield "first"
    while not Path("go on").exists():
        time.sleep(0.01)
    yield "second"
'''
NDJSON = "application/x-ndjson"


@pytest.fixture
def service(serve: Callable[..., Service], tmp_path: Path) -> Service:
    (tmp_path / "mytasks.py").write_text(TASKS)
    return serve(
        SERVICE_TASK_MODULES="mytasks",
        SERVICE_WEB_WORKERS="2",
        SERVICE_WEB_THREADS="3",
        SERVICE_CPU_SLOTS="1",
        SERVICE_REQUEST_TIMEOUT="60",
        SERVICE_QUEUE_TIMEOUT="60",
    )


@pytest.fixture
def spinning(tmp_path: Path) -> Callable[[], list[int]]:
    """Tell which of the processes that left a note still live."""

    def living() -> list[int]:
        pids = [int(note.name.partition("-")[2]) for note in tmp_path.glob("spins-*")]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    return living


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    """Keep connections, and close them however the test ends."""
    kept: list[socket.socket] = []
    yield kept
    for sock in kept:
        sock.close()


def request(service: Service, path: str, body: bytes = b"{}", accept: str = "*/*") -> socket.socket:
    """Send a whole request, and return the connection."""
    sock = socket.create_connection(("127.0.0.1", service.port))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    )
    sock.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    return sock


def hold_one_more(service: Service, connections: list[socket.socket]) -> int:
    """Send a call that goes on, and return how many do by now; one that is answered was refused."""
    sock = request(service, "/v1/tasks/spin")
    if select.select([sock], [], [], 0.3)[0]:
        sock.close()
    else:
        connections.append(sock)
    return len(connections)


@pytest.mark.parametrize(
    ("path", "body", "accept"),
    [
        ("/v1/tasks/spin", b"{}", "*/*"),
        ("/v1/tasks/spin/map", b'{"items": [{}, {}, {}]}', "*/*"),
        ("/v1/tasks/spin/map", b'{"items": [{"seconds": 0}, {}]}', NDJSON),
        ("/v1/batch", b'{"calls": [{"task": "spin"}]}', "*/*"),
        ("/v1/tasks/count", b"{}", "*/*"),
        ("/v1/tasks/count", b"{}", "text/event-stream"),
    ],
)
def test_a_client_that_leaves_stops_its_work(
    service: Service, spinning: Callable[[], list[int]], path: str, body: bytes, accept: str
) -> None:
    # Given a client whose call runs, on the only slot there is
    client = request(service, path, body, accept)
    wait_until(lambda: bool(spinning()), 30, service.log.read_text)
    # When it leaves
    client.close()
    # Then the call ends at once, and its slot is free
    began = time.monotonic()
    wait_until(lambda: not spinning(), 10, service.log.read_text)
    took = time.monotonic() - began
    answer = httpx.post(f"{service.url}/v1/tasks/spin", json={"seconds": 0.01}, timeout=10)
    assert answer.status_code == 200
    # Within a second where it is noticed by a hang-up; a busy machine may add to it
    assert took < 3
    # And nothing of it is an error of the service
    assert "Traceback" not in service.log.read_text()
    assert "internal error" not in service.log.read_text()


def test_a_client_that_waits_in_line_and_leaves_is_not_served(
    service: Service, spinning: Callable[[], list[int]]
) -> None:
    first = request(service, "/v1/tasks/spin")
    wait_until(lambda: bool(spinning()), 30, service.log.read_text)
    waiting = [request(service, "/v1/tasks/spin") for _ in range(3)]
    for client in waiting:
        client.close()
    wait_until(lambda: service.log.read_text().count("client-gone") == 3, 10, service.log.read_text)
    first.close()
    wait_until(lambda: not spinning(), 10, service.log.read_text)


def test_a_client_that_does_not_read_holds_no_slot(
    service: Service, spinning: Callable[[], list[int]], connections: list[socket.socket]
) -> None:
    # Given endless streams that nobody reads, more than there are slots
    connections += [request(service, "/v1/tasks/count") for _ in range(3)]
    wait_until(lambda: len(spinning()) == 3, 30, service.log.read_text)
    streaming = set(spinning())
    # Then others still get a turn
    for _ in range(5):
        answer = httpx.post(f"{service.url}/v1/tasks/spin", json={"seconds": 0.01}, timeout=30)
        assert answer.status_code == 200, answer.text
    for stream in connections:
        stream.close()
    wait_until(lambda: streaming.isdisjoint(spinning()), 10, service.log.read_text)


@pytest.mark.parametrize("accept", [NDJSON, "text/event-stream"])
def test_an_item_is_sent_when_it_is_there(service: Service, tmp_path: Path, accept: str) -> None:
    url = f"{service.url}/v1/tasks/stages"
    with httpx.stream("POST", url, json={}, headers={"Accept": accept}, timeout=30) as answer:
        lines = (line for line in answer.iter_lines() if "first" in line or "second" in line)
        assert "first" in next(lines)
        (tmp_path / "go on").touch()
        assert "second" in next(lines)
    (tmp_path / "go on").unlink()


def test_a_million_items_are_not_needed_to_see_the_first_result(service: Service) -> None:
    """Both directions at once: each result is there before the next item is sent."""
    results: list[Any] = []
    came = threading.Condition()

    def items() -> Iterator[bytes]:
        for n in range(5):
            yield b'{"n": %d}\n' % n
            with came:
                assert came.wait_for(lambda n=n: len(results) > n, 20)  # type: ignore[misc]

    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(1) as pool:
        # httpx sends a body whole before it reads, so the sending is done on a socket of our own.
        sock = socket.create_connection(("127.0.0.1", service.port))
        head = (
            "POST /v1/tasks/sum_of_squares/map HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: {NDJSON}\r\nAccept: {NDJSON}\r\n\r\n"
        )
        sock.sendall(head.encode())

        def send() -> None:
            for item in items():
                sock.sendall(b"%x\r\n%s\r\n" % (len(item), item))
            sock.sendall(b"0\r\n\r\n")

        sending = pool.submit(send)
        with sock.makefile("rb") as answer:
            for line in answer:
                if line.startswith(b'{"index"'):
                    with came:
                        results.append(json.loads(line)["result"])
                        came.notify_all()
                if line.startswith(b'{"summary"'):
                    break
        sending.result(20)
        sock.close()
        assert client.get(f"{service.url}/healthz").status_code == 200
    assert results == [0, 0, 1, 5, 14]


def test_the_service_answers_for_itself_while_everything_is_taken(
    service: Service, spinning: Callable[[], list[int]], connections: list[socket.socket]
) -> None:
    # Given as many calls as there are places: 2 workers of 3
    wait_until(lambda: hold_one_more(service, connections) == 6, 30, service.log.read_text)
    # Then both workers say how they are, at once, whoever is asked
    for path in ("/healthz", "/readyz", "/v1/tasks") * 10:
        began = time.monotonic()
        assert httpx.get(f"{service.url}{path}", timeout=5).status_code == 200
        assert time.monotonic() - began < 2
    # And one more call hears that there is no room, and when to come again
    for _ in range(10):
        refused = httpx.post(f"{service.url}/v1/tasks/spin", json={}, timeout=5)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/saturated")
        assert int(refused.headers["Retry-After"]) >= 1
        # So that the next attempt may find another worker
        assert refused.headers["Connection"] == "close"
    for taken in connections:
        taken.close()
    wait_until(lambda: not spinning(), 20, service.log.read_text)
    assert httpx.post(f"{service.url}/v1/tasks/spin", json={"seconds": 0.01}, timeout=10).status_code == 200


def test_a_full_worker_leaves_further_requests_to_one_that_has_room(
    service: Service, connections: list[socket.socket]
) -> None:
    # Given five of the six places there are, taken one after the other, and never one refused
    for taken in range(1, 6):
        connections.append(request(service, "/v1/tasks/stages"))
        assert connections[-1].recv(12) == b"HTTP/1.1 200", taken
    # Then the last one is found each time
    for _ in range(10):
        assert httpx.post(f"{service.url}/v1/tasks/sum_of_squares", json={"n": 3}).status_code == 200


def read_answer(answer: IO[bytes]) -> tuple[bytes, bytes]:
    """Return header and body of one answer of known length, or in chunks."""
    header = b"".join(iter(answer.readline, b"\r\n"))
    if b"chunked" not in header:
        length = int(header.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return header, answer.read(length)
    body = b""
    while size := int(answer.readline(), 16):
        body += answer.read(size)
        answer.readline()
    answer.readline()
    return header, body


def test_nothing_behind_a_body_that_breaks_off_is_taken_for_a_request(service: Service) -> None:
    for rest in (b"0\r\nbad trailer\r\n\r\n", b"ZZ\r\n"):
        sock = socket.create_connection(("127.0.0.1", service.port), timeout=10)
        head = (
            "POST /v1/tasks/sum_of_squares/map HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: {NDJSON}\r\n\r\n"
        )
        sock.sendall(head.encode() + rest + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with sock.makefile("rb") as answer:
            everything = answer.read()
        sock.close()
        assert everything.count(b"HTTP/1.1 ") == 1, everything
        assert b'"status":"ok"' not in everything
        assert b"malformed-body" in everything


def test_a_connection_can_be_used_again_after_a_body_of_lines(service: Service) -> None:
    sock = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    head = (
        "POST /v1/tasks/sum_of_squares/map HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: {NDJSON}\r\n\r\n"
    )
    with sock.makefile("rb") as answer:
        for _ in range(60):
            sock.sendall(head.encode() + b'8\r\n{"n": 5}\r\n')
            # The end comes when the result may be there already
            sock.sendall(b"0\r\n\r\n")
            header, body = read_answer(answer)
            assert b" 200 " in header, header
            assert b'"result":30' in body
    sock.close()


def test_a_map_of_nothing_but_mistakes_minds_its_deadline(service: Service) -> None:
    began = time.monotonic()
    answer = httpx.post(
        f"{service.url}/v1/tasks/sum_of_squares/map",
        content=b'{"items": [' + b",".join([b"0"] * 250_000) + b"]}",
        headers={"Request-Timeout": "0.5", "Content-Type": "application/json"},
        timeout=60,
    )
    assert time.monotonic() - began < 10
    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-exceeded")


def test_a_client_that_takes_its_answer_by_drops_is_given_up(
    serve: Callable[..., Service], tmp_path: Path, connections: list[socket.socket]
) -> None:
    # Given little patience, and the only place taken by a client that reads a byte now and then
    (tmp_path / "mytasks.py").write_text(TASKS)
    (tmp_path / "impatient.py").write_text("import service.api.worker as w\nw.SEND_SECONDS = 1\n")
    service = serve(
        SERVICE_TASK_MODULES="mytasks,impatient",
        SERVICE_WEB_WORKERS="1",
        SERVICE_WEB_THREADS="1",
        SERVICE_REQUEST_TIMEOUT_MAX="2",
    )
    sock = socket.socket()
    connections.append(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", service.port))
    sock.sendall(b"POST /v1/tasks/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")

    taken: list[bytes] = []

    def free() -> bool:
        time.sleep(0.1)  # the client's own pace: some 40 KB a second of several MB
        with suppress(OSError):
            taken.append(sock.recv(4096))
        answer = httpx.post(f"{service.url}/v1/tasks/sum_of_squares", json={"n": 3}, timeout=10)
        return answer.status_code == 200

    # Then its place is free again
    wait_until(free, 20, service.log.read_text)
    # Not because it had all, or was never served
    assert b" 200 " in taken[0]
    assert sum(map(len, taken)) < 20_000_000


def test_idle_connections_do_not_hold_up_a_stop(service: Service, connections: list[socket.socket]) -> None:
    connections += [socket.create_connection(("127.0.0.1", service.port)) for _ in range(5)]
    httpx.get(f"{service.url}/healthz")
    began = time.monotonic()
    os.kill(service.parent.pid, signal.SIGTERM)
    service.parent.wait(20)
    assert time.monotonic() - began < 8
