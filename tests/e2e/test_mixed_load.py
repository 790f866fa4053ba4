"""Ten thousand requests, good and bad ones mixed: each gets its own right answer; nothing stays behind."""

import contextlib
import hashlib
import http.client
import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.e2e.running import Service, running, wait_until

REQUESTS = 10_000
CLIENTS = 8

JSON = "application/json"

#: Takes the status, the media type and the body of an answer, and tells whether it is the right one.
Check = Callable[[int, str, bytes], bool]


@dataclass(frozen=True)
class Exchange:
    """A request, and what its answer has to be."""

    kind: str
    path: str
    body: bytes
    media_type: str
    is_right: Check


def calling(task: str, is_right: Check, **arguments: Any) -> Exchange:
    return Exchange(task, f"/v1/tasks/{task}", json.dumps(arguments).encode(), JSON, is_right)


def result(expected: object) -> Check:
    return lambda status, media_type, body: (
        (status, media_type, json.loads(body)["result"]) == (200, JSON, expected)
    )


def problem(status_expected: int, slug: str, detail: str) -> Check:
    def is_right(status: int, media_type: str, body: bytes) -> bool:
        if (status, media_type) != (status_expected, "application/problem+json"):
            return False
        document = json.loads(body)
        return document["type"] == f"/problems/{slug}" and detail in document["detail"]

    return is_right


def sum_of_squares(number: int, _: random.Random) -> Exchange:
    n = number % 1000
    return calling("sum_of_squares", result(sum(i * i for i in range(n))), n=n)


def turn_round(number: int, _: random.Random) -> Exchange:
    text = f"№ {number}: straße, 日本, \u0000, 🦊"
    return calling("turn_round", result(text[::-1]), text=text)


def fingerprint(number: int, chance: random.Random) -> Exchange:
    data = chance.randbytes(number % 20_000)
    is_right = result(hashlib.sha256(data).hexdigest())
    return Exchange("fingerprint", "/v1/tasks/fingerprint", data, "application/octet-stream", is_right)


def repeat(number: int, _: random.Random) -> Exchange:
    word, times = f"{number} ", number % 3000
    expected = (200, "text/plain", (word * times).encode())
    return calling("repeat", lambda *answer: answer == expected, word=word, times=times)


def crash(number: int, chance: random.Random) -> Exchange:
    code, signum = number % 200, chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
    if number % 2:
        return calling("leave", problem(500, "task-crashed", f"exit code {code}"), code=code)
    return calling("die", problem(500, "task-crashed", signum.name), signum=signum)


def time_out(number: int, _: random.Random) -> Exchange:
    return calling("hang", problem(504, "deadline-exceeded", "0.05 s"))


def fail(number: int, _: random.Random) -> Exchange:
    return calling("complain", problem(500, "task-failed", "ValueError"), about=str(number))


GOOD = (sum_of_squares, turn_round, fingerprint, repeat)
#: Of twenty requests one each ends badly: 5 % crash, 5 % time out, 5 % raise.
BAD = {3: crash, 9: time_out, 14: fail}


def exchange(number: int) -> Exchange:
    make = BAD.get(number % 20) or GOOD[number % len(GOOD)]
    return make(number, random.Random(number))


def send(service: Service, numbers: range) -> list[str]:
    """Send these requests, one after the other on one connection; return what was wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    wrong = []
    for number in numbers:
        asked = exchange(number)
        connection.request("POST", asked.path, asked.body, {"Content-Type": asked.media_type})
        answer = connection.getresponse()
        body = answer.read()
        if not asked.is_right(answer.status, answer.headers["Content-Type"], body):
            wrong.append(f"{number} {asked.kind}: {answer.status} {body[:500]!r}")
    connection.close()
    return wrong


def send_all(service: Service, numbers: range) -> list[str]:
    """Send these requests from several clients at once; return what was wrong."""
    # A connection stays with its worker, so there are many, or one worker might get everything.
    shares = [numbers[first : first + 50] for first in range(0, len(numbers), 50)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        return [line for wrong in clients.map(lambda share: send(service, share), shares) for line in wrong]


@dataclass(frozen=True)
class Footprint:
    """What a service takes of its machine."""

    #: How many there are, by name.
    processes: Counter[str]
    #: By pid: descriptors, and bytes of resident memory.
    descriptors: Mapping[int, int]
    memory: Mapping[int, int]


def footprint(service: Service) -> Footprint:
    processes = service.processes()
    return Footprint(
        Counter(process.name() for process in processes),
        {process.pid: process.num_fds() for process in processes},
        {process.pid: process.memory_info().rss for process in processes},
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    settings = {
        "SERVICE_TASK_MODULES": "tests.e2e.busy_tasks",
        "SERVICE_WEB_WORKERS": "2",
        "SERVICE_RUNNERS": "0",
        # More than there may be cores: who hangs holds a slot and computes nothing.
        "SERVICE_CPU_SLOTS": "4",
        "SERVICE_POOL_IDLE_SECONDS": "1",
    }
    with running(tmp_path_factory.mktemp("service"), **settings) as service:
        yield service


def rest(service: Service) -> Footprint:
    """Wait until the idle pool processes are let go, and measure."""
    wait_until(lambda: not service.pool_processes(), 20, lambda: f"left: {service.pool_processes()}")
    return footprint(service)


def warm_up(service: Service) -> None:
    """Let each worker meet every kind of request: buffers stay once they are there."""
    numbers = iter(range(0, 100_000, 200))
    met: set[int] = set()
    while len(met) < 2:
        first = next(numbers)
        send_all(service, range(first, first + 200))
        for process in service.pool_processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has been idle for long enough
                met.add(process.ppid())
    send_all(service, range(1000))


def no_more(after: Mapping[int, int], before: Mapping[int, int]) -> bool:
    """Tell whether the same processes have no more descriptors than before.

    A fork server may have had one more then, for the last process that it had not reaped yet.
    """
    return after.keys() == before.keys() and all(after[pid] <= before[pid] for pid in after)


@pytest.mark.timeout(180)
def test_everybody_gets_the_right_answer_and_nothing_is_left(service):
    warm_up(service)
    before = rest(service)

    wrong = send_all(service, range(REQUESTS))

    assert not wrong, f"{len(wrong)} of {REQUESTS}, first {wrong[:5]}"
    after = rest(service)
    assert after.processes == before.processes
    assert after.memory.keys() == before.memory.keys(), "only pool processes were replaced"
    # Not one more: who died was reaped, with every pipe to it, and no connection stayed.
    wait_until(
        lambda: no_more(footprint(service).descriptors, before.descriptors),
        10,
        lambda: f"{before.descriptors} became {footprint(service).descriptors}",
    )
    # A heap that sees every kind of request still spreads by 2 to 4 MB, ever more slowly. A kilobyte lost
    # with each request would be 10 MB, if one worker got them all.
    growth = {pid: after.memory[pid] - before.memory[pid] for pid in before.memory}
    assert max(growth.values()) < 10_000_000, growth
