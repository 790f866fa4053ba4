"""Pipelines over real HTTP: what comes when, and what is left when a run ends early."""

import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.raw_http import connected, everything, post
from tests.e2e.running import Service, running, wait_until

TASKS = '''
import ctypes, itertools, os, struct, time
from collections.abc import Iterator
from pathlib import Path
from service.tasks import Pipeline, Stage, task

def note(kind: str = "works") -> None:
    """Leave a note of who works."""
    Path(f"{kind}-{os.getpid()}").touch()

def wait_for(mark: str) -> None:
    while not Path(mark).exists():
        time.sleep(0.01)

def gated(items: list[int], mark: str) -> Iterator[int]:
    """Yield an item, wait for a file, and yield the others."""
    note()
    yield items[0]
    wait_for(mark)
    yield from items[1:]

def check(item: int) -> int:
    """Return an item that is no more than 100; else raise, die, or stay in C code that holds the GIL."""
    note()
    if item == 101:
        raise RuntimeError("secret plan failed")
    if item == 102:
        os._exit(3)
    if item == 103:
        ctypes.PyDLL(None).usleep(60_000_000)
    return item

def as_bytes(item: int) -> bytes:
    return b"%d;" % check(item)

def count() -> Iterator[int]:
    """Count for ever, and write down how far."""
    note()
    fd = os.open("count", os.O_RDWR | os.O_CREAT)
    for i in itertools.count(1):
        os.pwrite(fd, struct.pack("q", i), 0)
        yield i

def pad(item: int) -> str:
    note()
    return "x" * 10_000

def spin(item: int) -> int:
    """Compute for ever."""
    note("spins")
    while True:
        pass

@task
def sums(n: int) -> int:
    return sum(range(n))

Pipeline("e2e.gated", Stage(gated, cpu=0), Stage(check))
Pipeline("e2e.bytes", Stage(gated, cpu=0), Stage(as_bytes), media_type="text/plain")
Pipeline("e2e.endless", count, Stage(pad, processes=2))
Pipeline("e2e.spinning", Stage(gated, cpu=0), Stage(check), Stage(spin, processes=2))
Pipeline("e2e.impatient", Stage(gated, cpu=0), Stage(check), timeout=1)
'''

RAISES, DIES, STAYS = 101, 102, 103
NDJSON, EVENTS, JSON = "application/x-ndjson", "text/event-stream", "application/json"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "e2e_pipelines.py").write_text(TASKS)
    with running(
        folder,
        SERVICE_TASK_MODULES="e2e_pipelines",
        SERVICE_WEB_WORKERS="1",
        SERVICE_CPU_SLOTS="1",
        SERVICE_POOL_PROCESSES="8",
        SERVICE_REQUEST_TIMEOUT="60",
        SERVICE_LOG_FORMAT="json",
    ) as service:
        yield service


@pytest.fixture
def folder(service: Service) -> Path:
    return service.log.parent


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture
def working(folder: Path) -> Callable[..., list[int]]:
    """Tell which of the processes that left a note since the test began still live."""

    def living(kind: str = "works") -> list[int]:
        pids = [int(note.name.partition("-")[2]) for note in folder.glob(f"{kind}-*")]
        return [pid for pid in pids if psutil.pid_exists(pid)]

    for note in folder.glob("*s-*"):
        note.unlink()
    return living


@pytest.fixture
def request_run(service: Service) -> Iterator[Callable[..., socket.socket]]:
    """Send a request for a run, and return the connection; little fits into it."""
    with ExitStack() as connections:

        def send(name: str, body: Any, *headers: str) -> socket.socket:
            sock = connections.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", service.port))
            sock.sendall(
                post(f"/v1/pipelines/{name}", json.dumps(body).encode(), JSON, "Host: localhost", *headers)
            )
            return sock

        yield send


def gated(items: list[int], mark: Path) -> dict[str, Any]:
    return {"items": items, "mark": str(mark)}


def slots_are_free(client: httpx.Client) -> bool:
    """Tell whether a call that computes finds a slot; there is one."""
    answer = client.post("/v1/tasks/sums", json={"n": 10}, headers={"Request-Timeout": "5"})
    return answer.status_code == 200


@pytest.mark.parametrize("accept", [NDJSON, EVENTS, JSON, "bytes"])
def test_the_first_result_comes_before_the_producer_has_ended(
    client: httpx.Client, tmp_path: Path, accept: str
) -> None:
    mark = tmp_path / "go"
    name = "e2e.bytes" if accept == "bytes" else "e2e.gated"
    body = gated([1, 2], mark)
    with client.stream("POST", f"/v1/pipelines/{name}", json=body, headers={"Accept": accept}) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_text()
        first = next(pieces)
        # The producer waits for this
        mark.touch()
        rest = "".join(pieces)

    match accept:
        case "bytes":
            assert (first, rest) == ("1;", "2;")
        case "application/json":
            assert first.endswith("[1")
            assert json.loads(first + rest)["results"] == [1, 2]
        case "text/event-stream":
            assert first == "event: item\ndata: 1\n\n"
            assert rest.startswith("event: item\ndata: 2\n\nevent: summary\n")
        case _:
            assert first == '{"item":1}\n'
            assert rest.startswith('{"item":2}\n{"summary":')


def test_the_log_has_a_line_when_all_is_sent(service: Service, client: httpx.Client, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    headers = {"X-Request-ID": "the-only-one"}
    with client.stream("POST", "/v1/pipelines/e2e.gated", json=gated([1], mark), headers=headers) as answer:
        next(answer.iter_raw())
        time_to_the_first = answer.headers["Server-Timing"]
        assert "the-only-one" not in service.log.read_text()
        mark.touch()

    def line() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if "the-only-one" in line]
        return lines[0] if lines else None

    wait_until(lambda: line() is not None, 10, service.log.read_text)
    found = line()
    assert found is not None
    assert (found["task"], found["status"]) == ("e2e.gated", 200)
    assert found["total"] * 1000 >= float(time_to_the_first.rpartition("=")[2])


@pytest.mark.parametrize(
    ("item", "status", "slug"), [(RAISES, 500, "task-failed"), (DIES, 500, "task-crashed")]
)
@pytest.mark.parametrize("name", ["e2e.gated", "e2e.bytes"])
def test_an_error_before_the_first_result_has_its_own_status(
    client: httpx.Client, item: int, status: int, slug: str, name: str
) -> None:
    answer = client.post(f"/v1/pipelines/{name}", json=gated([item], Path("/")))

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.json()["item"] == 0
    assert slots_are_free(client)


@pytest.mark.parametrize(("item", "slug"), [(RAISES, "task-failed"), (DIES, "task-crashed")])
def test_an_error_behind_it_is_the_last_line(
    client: httpx.Client, tmp_path: Path, item: int, slug: str
) -> None:
    mark = tmp_path / "go"
    url = "/v1/pipelines/e2e.gated"
    with client.stream("POST", url, json=gated([1, 2, item, 3], mark)) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines)) == {"item": 1}
        mark.touch()
        *_, last = map(json.loads, lines)

    problem = last["error"]
    assert (problem["type"], problem["stage"], problem["item"]) == (f"/problems/{slug}", "check", 2)
    assert slots_are_free(client)


def test_bytes_break_off_and_a_client_notices(service: Service, client: httpx.Client, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    body = gated([1, RAISES], mark)
    with client.stream("POST", "/v1/pipelines/e2e.bytes", json=body) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"1;"
        mark.touch()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            list(pieces)

    log = service.log.read_text
    wait_until(lambda: '"problem": "task-failed"' in log().splitlines()[-1], 10, log)
    assert "secret plan failed" in log()
    # It is an error of the pipeline's, not of the server's
    assert "Error handling request" not in log()
    assert "internal error" not in log()


def test_bytes_without_chunks_break_off_with_a_reset(service: Service, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    head = post("/v1/pipelines/e2e.bytes", json.dumps(gated([1, RAISES], mark)).encode())
    with connected(service.port, head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)) as sock:
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.read1() == b"1;"
        mark.touch()
        with pytest.raises(ConnectionResetError):
            answer.read()


def test_a_connection_is_kept_behind_a_stream_that_ends_well(service: Service) -> None:
    body = json.dumps(gated([1], Path("/"))).encode()
    once = post("/v1/pipelines/e2e.bytes", body, JSON, "Host: localhost")
    last = post("/v1/pipelines/e2e.bytes", body, JSON, "Host: localhost", "Connection: close")

    assert everything(service.port, once + last).count(b"\r\n2\r\n1;\r\n0\r\n\r\n") == 2


@pytest.mark.parametrize("item", [RAISES, DIES])
def test_an_item_can_be_left_out(client: httpx.Client, item: int) -> None:
    answer = client.post("/v1/pipelines/e2e.gated?on_error=skip", json=gated([1, item, 3], Path("/")))

    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert [entry["item"] for entry in entries if "item" in entry] == [1, 3]
    (skipped,) = (entry["skipped"] for entry in entries if "skipped" in entry)
    assert (skipped["stage"], skipped["item"]) == ("check", 1)
    assert (entries[-1]["summary"]["items"], entries[-1]["summary"]["skipped"]) == (2, 1)
    assert slots_are_free(client)


@pytest.mark.parametrize(
    ("path", "request_", "status"),
    [
        ("e2e.gated?on_error=ignore", {"json": {"items": [1], "mark": "/"}}, 422),
        ("e2e.gated", {"json": {"items": [1]}}, 422),
        ("e2e.gated", {"content": b"1", "headers": {"Content-Type": "text/plain"}}, 415),
        ("e2e.nothing", {"json": {}}, 404),
        ("sum_of_squares", {"json": {"n": 1}}, 404),
    ],
)
def test_what_can_not_be_run_is_refused(
    client: httpx.Client, path: str, request_: dict[str, Any], status: int
) -> None:
    answer = client.post(f"/v1/pipelines/{path}", **request_)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("accept", [NDJSON, EVENTS, JSON])
def test_processes_of_a_client_that_leaves_are_gone_at_once(
    service: Service,
    client: httpx.Client,
    working: Callable[..., list[int]],
    request_run: Callable[..., socket.socket],
    accept: str,
) -> None:
    # Given a client that has read something of a stream without end
    sock = request_run("e2e.endless", {}, f"Accept: {accept}")
    assert sock.recv(12) == b"HTTP/1.1 200"
    wait_until(lambda: len(working()) == 3, 10, service.log.read_text)
    # When it leaves
    began = time.monotonic()
    sock.close()
    # Then nobody works for it any more, and nothing is held
    wait_until(lambda: not working(), 5, service.log.read_text)
    took = time.monotonic() - began
    assert took < 1
    assert slots_are_free(client)
    assert "internal error" not in service.log.read_text()


def test_so_are_those_that_compute_and_have_sent_nothing(
    service: Service,
    client: httpx.Client,
    working: Callable[..., list[int]],
    request_run: Callable[..., socket.socket],
) -> None:
    sock = request_run("e2e.spinning", gated([1, 2, 3], Path("/")))
    wait_until(lambda: bool(working("spins")), 10, service.log.read_text)

    began = time.monotonic()
    sock.close()

    wait_until(lambda: not working("spins"), 5, service.log.read_text)
    assert time.monotonic() - began < 1
    assert slots_are_free(client)


def test_a_client_that_does_not_read_stops_the_producer_and_holds_no_slot(
    service: Service,
    client: httpx.Client,
    working: Callable[..., list[int]],
    request_run: Callable[..., socket.socket],
    folder: Path,
) -> None:
    def count() -> int:
        with suppress(FileNotFoundError, struct.error):
            return int(struct.unpack("q", (folder / "count").read_bytes())[0])
        return 0

    def stands_still() -> bool:
        before = count()
        time.sleep(0.5)  # what is looked for is that nothing happens
        return 0 < count() == before

    (folder / "count").unlink(missing_ok=True)
    # Given a client that reads nothing of a stream without end
    sock = request_run("e2e.endless", {})
    # Then its producer comes to a stop, after what sockets and buffers hold
    wait_until(stands_still, 20, lambda: f"{count()} items were made")
    assert count() < 5000
    # And the only slot is free for others
    assert slots_are_free(client)
    # When it reads, the producer goes on
    before, received = count(), 0
    sock.settimeout(10)
    while count() <= before and received < 50_000_000:
        received += len(sock.recv(65536))
    assert count() > before
    sock.close()
    wait_until(lambda: not working(), 5, service.log.read_text)


@pytest.mark.parametrize("item", [STAYS, 1])
@pytest.mark.parametrize(
    ("name", "headers"), [("e2e.gated", {"Request-Timeout": "1"}), ("e2e.impatient", {})]
)
def test_a_deadline_ends_every_process(
    service: Service,
    client: httpx.Client,
    working: Callable[..., list[int]],
    name: str,
    headers: dict[str, str],
    item: int,
) -> None:
    began = time.monotonic()
    body = gated([item, 1], Path("/never/there"))
    answer = client.post(f"/v1/pipelines/{name}", json=body, headers=headers)
    took = time.monotonic() - began

    if item == STAYS:
        assert answer.status_code == 504
        problem = answer.json()
    else:
        first, last = map(json.loads, answer.text.splitlines())
        assert first == {"item": 1}
        problem = last["error"]
    assert problem["type"] == "/problems/deadline-exceeded"
    assert 0.9 < took < 3
    wait_until(lambda: not working(), 1, service.log.read_text)
    assert slots_are_free(client)


def test_the_sample_has_its_results(client: httpx.Client) -> None:
    answer = client.get("/process_queue_communication/")

    assert answer.status_code == 200
    assert answer.json() == {"results": [f"Consumed: Item {i}" for i in range(5)]}
    fewer = client.get("/process_queue_communication/?items=2").json()
    assert fewer == {"results": ["Consumed: Item 0", "Consumed: Item 1"]}


def test_the_sample_keeps_its_form_of_errors(client: httpx.Client) -> None:
    wrong = client.get("/process_queue_communication/?n=1")
    assert (wrong.status_code, list(wrong.json())) == (400, ["error"])

    late = client.get("/process_queue_communication/", headers={"Request-Timeout": "0.3"})
    assert (late.status_code, list(late.json())) == (504, ["error"])
