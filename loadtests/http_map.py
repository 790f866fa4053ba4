"""A map of many no-ops over HTTP: how long an item takes, and how much memory the worker takes for it.

One plain connection asks, and reads while it writes: an NDJSON answer begins before its body has ended.
"""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from loadtests.http_answers import TrafficFailed
from loadtests.http_servers import Server, service

PATH = "/v1/tasks/noop/map"
JSON, NDJSON = "application/json", "application/x-ndjson"
#: Items of one chunk of an NDJSON body.
LINES = 1000
#: Seconds between two looks at the memory; each costs the worker a moment.
LOOK = 0.05
_PATIENCE = 60.0
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Answer:
    """What a map was answered with, and when."""

    body: bytes
    #: Seconds until the first of the answer was there.
    first: float
    #: Seconds until the last was.
    last: float


def ask(server: Server, items: int, media_type: str) -> Answer:
    """Map over that many no-ops, with body and answer in one media type; check the answer."""
    headers = {"Content-Type": media_type, "Accept": media_type}
    with contextlib.closing(server.connect(_PATIENCE)) as connection:
        begun = time.perf_counter()
        if media_type == NDJSON:
            answer = _in_chunks(connection, items, headers, begun)
        else:
            connection.request("POST", PATH, json.dumps({"items": [{}] * items}), headers)
            answer = _read(connection, begun)
    check(answer.body, items, media_type)
    return answer


def _in_chunks(connection: HTTPConnection, items: int, headers: dict[str, str], begun: float) -> Answer:
    connection.putrequest("POST", PATH)
    for name, value in (headers | {"Transfer-Encoding": "chunked"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    writer = threading.Thread(target=_write, args=(connection, items), daemon=True)
    writer.start()
    try:
        return _read(connection, begun)
    finally:
        writer.join(_PATIENCE)


def _write(connection: HTTPConnection, items: int) -> None:
    # A server that gives up closes the connection, and the answer tells why.
    with contextlib.suppress(OSError):
        for sent in range(0, items, LINES):
            chunk = b"{}\n" * min(LINES, items - sent)
            connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.send(b"0\r\n\r\n")


def _read(connection: HTTPConnection, begun: float) -> Answer:
    response = connection.getresponse()
    parts = [response.read1()]
    first = time.perf_counter() - begun
    while part := response.read1():
        parts.append(part)
    last = time.perf_counter() - begun
    body = b"".join(parts)
    if response.status != 200:
        raise TrafficFailed(f"a map was answered with {response.status}: {body[:300]!r}")
    return Answer(body, first, last)


def check(body: bytes, items: int, media_type: str) -> None:
    """Raise ``TrafficFailed`` unless each item has its result, in order where there is one."""
    if media_type == NDJSON:
        *entries, last = map(json.loads, body.splitlines())
        entries.sort(key=lambda entry: int(entry.get("index", -1)))
        summary = last.get("summary", {})
    else:
        document = json.loads(body)
        entries, summary = document["results"], document["summary"]
    right = len(entries) == items == summary.get("succeeded") and all(
        entry["index"] == index and "error" not in entry and entry["result"] is None
        for index, entry in enumerate(entries)
    )
    if not right:
        raise TrafficFailed(f"a map over {items} items has {len(entries)} entries and the summary {summary}")


def measure(items: int, turns: int) -> Iterator[dict[str, float]]:
    """Yield the figures of each turn, then those of the memory."""
    formats = {"json": JSON, "ndjson": NDJSON}
    # One worker, so that it is known which one answers.
    with service(SERVICE_WEB_WORKERS="1") as server:
        ask(server, LINES, JSON)
        for _ in range(turns):
            for name, media_type in formats.items():
                answer = ask(server, items, media_type)
                yield {
                    f"map_{name}": answer.last / items * 1e6,
                    f"map_{name}_first": answer.first * 1e3,
                }
    for name, media_type in formats.items():
        # A fresh one for each: memory that was used once does not always go back.
        with service(SERVICE_WEB_WORKERS="1") as server:
            ask(server, LINES, media_type)
            figures = memory_during(server.workers()[0], functools.partial(ask, server, items, media_type))
        yield {f"map_{name}_{key}": value for key, value in figures.items()}


def memory_during(process: psutil.Process, action: Callable[[], object]) -> dict[str, float]:
    """Return the megabytes of a process before an action, and at most during it."""
    before = _pss(process)
    # The kernel begins anew to note the highest resident set size.
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    resident = float(process.memory_info().rss)
    seen, done = [before], threading.Event()

    def look() -> None:
        while not done.wait(LOOK):
            seen.append(_pss(process))

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        action()
    finally:
        done.set()
        looker.join()
    return {
        "pss_before": before / _MB,
        "pss_peak": max(seen) / _MB,
        "rss_growth": max(0.0, _highest_resident(process) - resident) / _MB,
    }


def _pss(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss)


def _highest_resident(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024
