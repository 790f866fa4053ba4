"""Alive, ready, and where everything stands."""

from __future__ import annotations

from flask.testing import FlaskClient

from service.engine.fake import FakeEngine


def test_the_index_leads_to_what_is_there(client: FlaskClient) -> None:
    links = client.get("/").get_json()["links"]

    assert {"tasks", "healthz", "readyz"} <= set(links)
    assert client.get(links["tasks"]).status_code == 200
    assert client.get(links["healthz"]).status_code == 200


def test_a_running_service_is_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}

    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "ready"
    assert answer.get_json()["checks"]["tasks"] >= 3


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
