"""Alive, ready, and where everything stands."""

from __future__ import annotations

import threading
import time

from flask.testing import FlaskClient

from service.api.readiness import PATIENCE, StoreCheck
from service.engine.fake import FakeEngine
from service.jobs.model import StoreUnavailable
from tests.unit.api.job_runs import wait_until


def test_the_index_leads_to_what_is_there(client: FlaskClient) -> None:
    links = client.get("/").get_json()["links"]

    assert {"tasks", "jobs", "healthz", "readyz"} <= set(links)
    assert client.get(links["tasks"]).status_code == 200
    assert client.get(links["healthz"]).status_code == 200


def test_a_running_service_is_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}

    # A first look at the store may take long.
    wait_until(lambda: client.get("/readyz").status_code == 200)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "ready"
    assert answer.get_json()["checks"]["tasks"] == len(client.get("/v1/tasks").get_json()["tasks"])
    pipelines = client.get("/v1/pipelines").get_json()["pipelines"]
    assert answer.get_json()["checks"]["pipelines"] == len(pipelines) >= 3
    assert answer.get_json()["checks"]["store"] == "ready"


def test_a_stopping_service_is_alive_but_not_ready(client: FlaskClient, engine: FakeEngine) -> None:
    engine.close()

    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["checks"]["engine"] == "stopping"


def test_health_touches_no_engine(client: FlaskClient, engine: FakeEngine) -> None:
    client.get("/healthz")
    client.get("/readyz")

    assert engine.calls == []


class TestStoreCheck:
    def test_it_looks_again_only_after_a_while(self) -> None:
        looks: list[int] = []
        check = StoreCheck(lambda: looks.append(1))

        assert [check.state() for _ in range(5)] == ["ready"] * 5
        assert len(looks) == 1

    def test_nobody_waits_long_for_a_database_that_does_not_answer(self) -> None:
        answers = threading.Event()
        check = StoreCheck(lambda: answers.wait(30))

        begun = time.monotonic()
        assert [check.state(), check.state()] == ["unavailable", "unavailable"]
        assert time.monotonic() - begun < 10 * PATIENCE
        answers.set()
        wait_until(lambda: check.state() == "ready")

    def test_it_notes_that_the_database_is_back(self) -> None:
        away = [True]

        def look() -> None:
            if away:
                raise StoreUnavailable("it is away")

        check = StoreCheck(look)
        assert check.state() == "unavailable"
        away.clear()
        wait_until(lambda: check.state() == "ready")
