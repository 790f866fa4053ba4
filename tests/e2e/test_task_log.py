"""Lines that tasks write to the log of a real service."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.running import Service, wait_until

TASKS = '''
from collections.abc import Iterator
from service.tasks import Pipeline, log, task

@task
def tell(n: int) -> int:
    """Say it."""
    log("it is", n)
    return n

@task
def tell_each(n: int) -> Iterator[int]:
    """Say each."""
    for i in range(n):
        log("one of them")
        yield i

def told(n: int) -> int:
    log("in a stage")
    return n

def upto(n: int) -> Iterator[int]:
    yield from range(n)

Pipeline("telling_stages", upto, told)
'''


@pytest.fixture
def start(serve, tmp_path):
    (tmp_path / "telling_tasks.py").write_text(TASKS)
    return lambda log_format: serve(SERVICE_TASK_MODULES="telling_tasks", SERVICE_LOG_FORMAT=log_format)


def lines(service: Service) -> Iterator[dict[str, Any]]:
    """Yield what tasks have said; every other line has to be JSON as well."""
    for line in service.log.read_text().splitlines():
        if (found := json.loads(line))["event"] == "task log":
            yield found


def test_each_has_the_id_of_its_request_whatever_the_call_is_part_of(start):
    service = start("json")

    def post(path: str, body: Any, request: str) -> None:
        answer = httpx.post(f"{service.url}{path}", json=body, headers={"X-Request-ID": request}, timeout=30)
        assert answer.status_code == 200, answer.text

    post("/v1/tasks/tell", {"n": 1}, "call")
    post("/v1/tasks/tell/map", {"items": [{"n": n} for n in range(50)]}, "map")
    post("/v1/batch", {"calls": [{"task": "tell", "args": {"n": 2}}]}, "batch")
    post("/v1/tasks/tell_each", {"n": 3}, "generator")
    post("/v1/pipelines/telling_stages", {"n": 4}, "pipeline")

    numbers = {"call": 1, "map": 50, "batch": 1, "generator": 3, "pipeline": 4}
    count = lambda: {name: [line["request_id"] for line in lines(service)].count(name) for name in numbers}  # noqa: E731
    wait_until(lambda: count() == numbers, 10, service.log.read_text)
    (call,) = [line for line in lines(service) if line["request_id"] == "call"]
    assert (call["line"], call["task"], call["level"]) == ("it is 1", "tell", "info")
    assert {line["task"] for line in lines(service) if line["request_id"] == "pipeline"} == {"telling_stages"}


def test_in_the_form_for_people_it_is_the_bare_text(start):
    service = start("console")

    httpx.post(f"{service.url}/v1/tasks/tell", json={"n": 7}).raise_for_status()

    wait_until(lambda: "it is 7" in service.log.read_text().splitlines(), 10, service.log.read_text)
