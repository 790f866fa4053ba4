"""The peers do what the service does; the work has one right result."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from loadtests import http_capacity, http_peers, http_tasks, http_turns, http_work
from loadtests.http_servers import Server, own_environment
from service.tasks.arithmetic import sum_of_squares

# They fork beside threads, as the samples do; Python 3.12 and later warn of that.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def client():
    return http_peers.create_app().test_client()


@pytest.fixture
def server(tmp_path: Path):
    return Server(create_autospec("process"), "mark", 4321, tmp_path / "log")


def test_the_empty_endpoint_answers(client):
    assert client.get("/empty").json == {"status": "ok"}


@pytest.mark.parametrize("way", ["/pool_per_request", "/kept_executor", "/request_thread"])
def test_all_ways_have_the_same_results(client, way):
    assert client.get(way).json == {"results": [332_833_500] * 4}
    assert client.get(f"{way}/burn?rounds=400").json == {"results": [http_work.burn(100)] * 4}


@pytest.mark.parametrize("way", ["/pool_per_request", "/kept_executor", "/request_thread"])
def test_what_is_expected_of_a_peer_is_what_it_answers(client, server, way):
    parts = http_peers.parts(400)

    for stream in (
        http_turns.of_peer(server, way, http_peers.SUMS, http_work.sum_of_squares),
        http_turns.of_peer(server, f"{way}/burn?rounds=400", parts, http_work.burn),
    ):
        assert stream.contains in client.get(stream.path).text


def test_a_map_has_an_item_and_a_result_for_each_value(server):
    stream = http_turns.map_of(server, "sum_of_squares", "n", (2, 3), http_work.sum_of_squares)

    assert (stream.method, stream.path) == ("POST", "/v1/tasks/sum_of_squares/map")
    assert stream.body == '{"items":[{"n":2},{"n":3}]}'
    assert stream.contains == '"results":[{"index":0,"result":1},{"index":1,"result":5}]'


def test_the_sums_are_the_services(client):
    assert http_work.sum_of_squares(1000) == sum_of_squares(1000)


def test_a_computation_is_cut_into_four_parts(client):
    assert client.get("/burn?rounds=400").json == {"results": [http_work.burn(100)] * 4}


def test_an_executor_is_made_once_and_kept():
    kept = http_peers.PerProcess(lambda: ProcessPoolExecutor(1))

    assert kept.get() is kept.get()


def test_each_number_of_rounds_has_its_own_result():
    results = [http_tasks.burn(rounds) for rounds in range(100)]

    assert len(set(results)) == 100
    assert http_tasks.noop() is None


def test_capacity_is_what_all_cores_do_together():
    begun = time.monotonic()

    rate = http_capacity.per_second(1000, 0.2)

    assert rate > 0
    assert time.monotonic() - begun > 0.2


def test_what_a_person_has_set_is_not_passed_on(monkeypatch):
    for name in ("SERVICE_BIND", "GUNICORN_CMD_ARGS", "LOCUST_HOST", "WEB_CONCURRENCY"):
        monkeypatch.setenv(name, "theirs")

    assert "theirs" not in own_environment().values()
    assert own_environment()["PATH"] == os.environ["PATH"]


def test_one_process_alone_is_worth_itself(monkeypatch):
    monkeypatch.setattr(http_capacity, "available_cpus", lambda: 1)

    assert 0.3 < http_capacity.cores_worth(0.3) < 3
