"""Jobs as clients watch them over real connections: started at once, streamed, broken off, taken up again."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import Service, running, wait_until

WORKERS, THREADS = 2, 4
#: Half of the threads of each worker may be held by those who wait.
PLACES = WORKERS * THREADS // 2

TASKS = '''
import time
from service.tasks import progress, task

@task(cpu=0)
def count(lines: int, pause: float) -> int:
    """Print numbers."""
    for number in range(lines):
        print(number)
        progress(number + 1, lines)
        time.sleep(pause)
    return lines
'''


@contextlib.contextmanager
def service_in(folder: Path) -> Iterator[Service]:
    (folder / "counting.py").write_text(TASKS)
    with running(
        folder,
        SERVICE_TASK_MODULES="counting",
        SERVICE_WEB_WORKERS=str(WORKERS),
        SERVICE_WEB_THREADS=str(THREADS),
        SERVICE_JOB_GRACE="0",
    ) as service:
        yield service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with service_in(tmp_path) as service:
        yield service


def submit(service: Service, **args: float) -> dict[str, str]:
    answer = httpx.post(f"{service.url}/v1/jobs", json={"task": "count", "args": args})
    assert answer.status_code == 202, answer.text
    found: dict[str, str] = answer.json()
    return found


def events(service: Service, path: str, last: str = "") -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield kind, id and data of each event as it comes."""
    headers = {"Last-Event-ID": last} if last else {}
    with httpx.stream("GET", f"{service.url}{path}", headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], fields["id"], json.loads(fields["data"])
                fields = {}


def test_the_background_sample_answers_at_once_and_works_on(service: Service) -> None:
    body = {"message": "hello", "duration": 1}

    begun = time.monotonic()
    answer = httpx.post(f"{service.url}/start_background_process/", json=body)
    took = time.monotonic() - begun

    assert (answer.status_code, took < 0.8) == (202, True)
    job = f"{service.url}{answer.headers['Location']}"
    assert httpx.get(f"{job}?wait=20", timeout=30).json()["state"] == "succeeded"
    log = httpx.get(f"{job}/log", headers={"Accept": "text/plain"}).text
    assert re.fullmatch(r"Background task started.*: hello\nBackground task finished.*: hello\n", log)


def test_events_come_while_a_job_runs(service: Service) -> None:
    job = submit(service, lines=5, pause=0.2)

    came: list[tuple[float, str, str, dict[str, object]]] = []
    for kind, place, data in events(service, job["events"]):
        came.append((time.monotonic(), kind, place, data))

    lines = [(at, data["seq"]) for at, kind, _, data in came if kind == "log"]
    assert [seq for _, seq in lines] == [1, 2, 3, 4, 5]
    assert lines[-1][0] - lines[0][0] > 0.5
    assert [data["done"] for _, kind, _, data in came if kind == "progress"][-1] == 5
    assert (came[-1][1], came[-1][3]["state"]) == ("state", "succeeded")


def test_those_who_wait_leave_threads_to_others_and_give_theirs_back(service: Service) -> None:
    # Given workers that have loaded the tasks, and more streams than may be
    ready = lambda: {httpx.get(f"{service.url}/readyz").status_code for _ in range(10)} == {200}  # noqa: E731
    wait_until(ready, 30, service.log.read_text)
    job = submit(service, lines=1, pause=60)
    with contextlib.ExitStack() as opened:
        streams = [
            opened.enter_context(httpx.stream("GET", f"{service.url}{job['events']}", timeout=30))
            for _ in range(3 * PLACES)
        ]
        statuses = [stream.status_code for stream in streams]
        assert (statuses.count(200), statuses.count(503)) == (PLACES, 2 * PLACES)

        # When others come
        with httpx.Client(base_url=service.url) as client:
            for path in ("/healthz", "/readyz", job["href"]):
                begun = time.monotonic()
                assert client.get(path).status_code == 200
                assert time.monotonic() - begun < 1
            run = client.post("/v1/tasks/sum_of_squares", json={"n": 5})
            assert run.json()["result"] == 30

    # Then they are served, and those who leave make room for the next
    def is_free() -> bool:
        with httpx.stream("GET", f"{service.url}{job['events']}", timeout=30) as stream:
            return stream.status_code == 200

    wait_until(is_free, 5, service.log.read_text)


def test_a_stream_that_a_stop_broke_off_is_taken_up_behind_it(tmp_path: Path) -> None:
    # Given a reader of a job that prints
    with service_in(tmp_path) as service, ThreadPoolExecutor(1) as threads:
        job = submit(service, lines=20, pause=0.1)
        stream = events(service, job["events"])
        read = [next(event for event in stream if event[0] == "log") for _ in range(3)]

        # When the service stops
        rest = threads.submit(lambda: list(stream))
        service.parent.terminate()
        read += rest.result(20)
        assert service.parent.wait(20) == 0

    # And is started again
    with service_in(tmp_path) as service:
        left = list(events(service, job["events"], last=read[-1][1]))

    # Then the stream goes on: no line is lost, none is told twice, and the end is the last
    told = [data["seq"] for kind, _, data in read + left if kind == "log"]
    assert told == [*range(1, len(told) + 1)]
    assert len(told) > 20
    assert (left[-1][0], left[-1][2]["state"], left[-1][2]["attempts"]) == ("state", "succeeded", 2)
