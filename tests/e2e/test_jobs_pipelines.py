"""Pipelines as jobs of a real service: watched, cancelled, and taken over when their runner is killed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.jobs_place import DATABASES, RECOVERY, Place, opened
from tests.e2e.running import Service, is_gone, wait_until

MODULES = {"SERVICE_TASK_MODULES": "tests.e2e.jobs_pipelines", "SERVICE_POOL_PROCESSES": "8"}


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request, tmp_path) as place:
        yield place


@pytest.fixture
def service(place: Place) -> Service:
    return place.serve(SERVICE_WEB_WORKERS="1", SERVICE_RUNNERS="1", **MODULES)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def submit(client: httpx.Client, name: str, folder: Path, number: int, query: str = "") -> dict[str, Any]:
    answer = client.post(
        f"/v1/pipelines/{name}{query}",
        json={"folder": str(folder), "number": number},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def workers(folder: Path, attempt: int = 1) -> set[psutil.Process]:
    """Return the processes that have worked on an attempt and live."""
    notes = folder / f"attempt-{attempt}"
    pids = {int(pid) for pid in notes.read_text().split()} if notes.exists() else set()
    return {psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)}


def events(client: httpx.Client, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and data of each event as it comes."""
    with client.stream("GET", path) as answer:
        kind = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


def counts_of(progress: dict[str, Any]) -> list[tuple[str, int, int, int]]:
    return [
        (stage["name"], stage["items_in"], stage["items_out"], stage["skipped"])
        for stage in progress["stages"]
    ]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_it_is_watched_stage_by_stage(client: httpx.Client, tmp_path: Path) -> None:
    job = submit(client, "e2e.waiting", tmp_path, 3, "?on_error=skip")
    assert (job["task"], job["on_error"], job["progress"]) == ("e2e.waiting", "skip", None)
    three_of_four = [("wait_in", 0, 3, 0), ("take", 3, 3, 0), ("fail_at_one", 3, 2, 1)]

    told = []
    for kind, data in events(client, job["events"]):
        told.append((kind, data))
        if kind == "progress" and counts_of(data) == three_of_four:
            # The producer waits for this.
            (tmp_path / "go").touch()
    shown = client.get(job["href"], params={"wait": 20}).json()

    progress = [data for kind, data in told if kind == "progress"]
    assert three_of_four in [counts_of(data) for data in progress if data["done"] == 2]
    assert counts_of(progress[-1]) == [("wait_in", 0, 4, 0), ("take", 4, 4, 0), ("fail_at_one", 4, 3, 1)]
    assert told[-1] == ("state", {name: value for name, value in shown.items() if name != "result"})
    assert (shown["state"], shown["result"], shown["progress"]) == ("succeeded", [0, 2, 3], progress[-1])
    assert client.get(shown["result_href"]).json() == [0, 2, 3]
    lines = [(data["stream"], data["line"]) for kind, data in told if kind == "log"]
    assert [line for stream, line in lines if stream == "stdout"] == [f"item {i}" for i in range(4)]
    (said,) = (line for stream, line in lines if stream == "system")
    assert said.startswith("left out: stage 'fail_at_one', item 1: ")


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_an_error_names_its_stage_and_it_can_be_tried_again(client: httpx.Client, tmp_path: Path) -> None:
    body = {"task": "e2e.waiting", "args": {"folder": str(tmp_path), "number": 3}}
    job = client.post("/v1/jobs", json=body).json()
    failed = client.get(job["href"], params={"wait": 20}).json()

    assert (failed["state"], failed["error"]["type"]) == ("failed", "/problems/task-failed")
    assert (failed["error"]["stage"], failed["error"]["item"]) == ("fail_at_one", 1)
    assert client.post(f"{job['href']}/retry").status_code == 202
    again = client.get(job["href"], params={"wait": 20}).json()
    assert (again["state"], again["attempts"]) == ("failed", 2)


def test_a_cancel_ends_every_process_within_a_second(
    place: Place, client: httpx.Client, tmp_path: Path
) -> None:
    job = submit(client, "e2e.computing", tmp_path, 3)
    wait_until(lambda: len(workers(tmp_path)) == 4, 20, place.logs)
    found = workers(tmp_path)

    began = time.monotonic()
    answer = client.post(f"{job['href']}/cancel")
    wait_until(lambda: all(map(is_gone, found)), 5, place.logs)
    took = time.monotonic() - began

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert took < 1
    # Its slots are free: another one runs.
    other = tmp_path / "other"
    other.mkdir()
    (other / "go").touch()
    again = submit(client, "e2e.computing", other, 3)
    ended = client.get(again["href"], params={"wait": 20}).json()
    assert sorted(ended["result"]) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["e2e.waiting", "e2e.computing"])
def test_when_its_runner_is_killed_every_process_ends_and_it_is_taken_over(
    place: Place, service: Service, client: httpx.Client, tmp_path: Path, name: str
) -> None:
    job = submit(client, name, tmp_path, 3, "?on_error=skip")
    number = 4 if name == "e2e.computing" else 2
    wait_until(lambda: len(workers(tmp_path)) == number, 20, place.logs)
    found = workers(tmp_path)
    (runner,) = service.runners()

    runner.kill()

    wait_until(lambda: all(map(is_gone, found)), 1, place.logs)
    wait_until(lambda: len(workers(tmp_path, attempt=2)) == number, RECOVERY + 5, place.logs)
    assert not found & workers(tmp_path, attempt=2)
    (tmp_path / "go").touch()
    ended = client.get(job["href"], params={"wait": 20}).json()
    assert (ended["state"], ended["attempts"], ended["crashes"]) == ("succeeded", 2, 1)
    assert sorted(ended["result"]) == ([0, 2, 3] if name == "e2e.waiting" else [0, 1, 2, 3])
