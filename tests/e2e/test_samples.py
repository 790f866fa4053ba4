"""The samples that it all started from, over real HTTP and on real processes."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.e2e.running import Service, running, wait_until

CPU = "/concurrent_cpu_tasks/"
DATA = "/parallel_data_processing/"


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("service"),
        SERVICE_WEB_WORKERS="1",
        SERVICE_CPU_SLOTS="2",
        SERVICE_POOL_PROCESSES="8",
        SERVICE_REQUEST_TIMEOUT="60",
    ) as service:
        yield service


@pytest.fixture
def client(service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture
def requests() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def sum_of_squares(n: int) -> int:
    return (n - 1) * n * (2 * n - 1) // 6


def cpu_seconds(processes: list[psutil.Process]) -> list[float]:
    return [process.cpu_times().user for process in processes]


def test_four_sums_are_computed_by_two_processes_at_the_same_time(service, client, requests):
    begun = time.monotonic()
    answer = requests.submit(client.get, CPU)
    wait_until(lambda: len(service.pool_processes()) >= 2, 20, service.log.read_text)
    busy = service.pool_processes()
    before = cpu_seconds(busy)

    def all_have_computed() -> bool:
        return all(now > then + 0.05 for now, then in zip(cpu_seconds(busy), before, strict=True))

    wait_until(all_have_computed, 20, lambda: f"{before} became {cpu_seconds(busy)}")
    assert not answer.done(), "both computed between two moments of the request"

    document = answer.result().json()
    assert sorted(document) == ["results", "total_time"]
    # The largest is beyond 64 bits.
    assert sorted(document["results"]) == list(
        map(sum_of_squares, (8_000_000, 9_000_000, 10_000_000, 12_000_000))
    )
    assert 0 < document["total_time"] < time.monotonic() - begun
    assert len(busy) == 2, "as many as there are slots"


def test_sums_come_in_the_order_in_which_they_are_done(client):
    document = client.get(CPU, params={"n": [10_000_000, 3]}).json()

    assert document["results"] == [5, sum_of_squares(10_000_000)]


def test_the_answer_says_where_its_time_went(client):
    answer = client.get(CPU, params={"n": 1000})

    parts = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert list(parts) == ["queue", "run", "total"]
    assert float(parts["queue"]) + float(parts["run"]) <= float(parts["total"])


def test_ten_items_are_processed_at_least_five_at_a_time_and_keep_their_order(service, client, requests):
    answer = requests.submit(client.get, DATA)
    wait_until(lambda: len(service.pool_processes()) >= 5, 20, service.log.read_text)

    document = answer.result().json()
    assert sorted(document) == ["results", "total_time"]
    assert document["results"] == [f"Processed: {2 * item}" for item in range(1, 11)]
    # One after the other they would wait for 5 seconds; each waits for half a second.
    assert 0.5 <= document["total_time"] < 5


def test_items_of_ones_own_keep_their_order_too(client):
    document = client.get(DATA, params={"item": [3, -1, 3]}).json()

    assert document["results"] == ["Processed: 6", "Processed: -2", "Processed: 6"]


@pytest.mark.parametrize("query", [f"{CPU}?n=x", f"{CPU}?m=1", f"{CPU}?n=100000001", f"{DATA}?item=1.5"])
def test_a_wrong_query_is_refused_in_the_samples_own_form(client, query):
    answer = client.get(query)

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
