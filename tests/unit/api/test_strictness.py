"""What is refused before it reaches a task, in single calls and in maps."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine

URL = "/v1/tasks/example.checked"


@pytest.mark.parametrize(
    "body", ['{"n": 1, "n": 1}', '{"n": NaN}', '{"n": -Infinity}', '{"n": [{"a": 1, "a": 1}]}']
)
def test_lenient_json_is_malformed(client: FlaskClient, engine: FakeEngine, body: str) -> None:
    answer = client.post(URL, data=body, content_type="application/json")

    assert answer.status_code == 400
    assert answer.get_json()["type"] == "/problems/malformed-json"
    assert "at line 1 column" in answer.get_json()["detail"]
    assert engine.calls == []


def test_a_name_that_stands_twice_is_named(client: FlaskClient) -> None:
    answer = client.post(URL, data='{"n": 1, "n": 1}', content_type="application/json")

    assert 'duplicate key "n"' in answer.get_json()["detail"]


def test_a_validator_that_breaks_is_the_tasks_failure(
    client: FlaskClient, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = client.post(URL, json={"n": 13})

    assert answer.status_code == 500
    assert answer.get_json()["type"] == "/problems/task-failed"
    assert "KeyError" in answer.get_json()["detail"]
    assert "secret" not in answer.text
    assert 'KeyError(\\"secret plan\\")' in capsys.readouterr().out
    assert engine.calls == []


def test_in_a_map_it_fails_alone(client: FlaskClient) -> None:
    lines = '{"n": 1}\n{"n": 13}\n{"n": -1}\n{"n": 1, "n": 1}\n{"n": 2}\n'

    answer = client.post(f"{URL}/map", data=lines, content_type="application/x-ndjson")

    entries: list[dict[str, Any]] = answer.get_json()["results"]
    found = [entry.get("result", entry.get("error", {}).get("status")) for entry in entries]
    assert found == [1, 500, 422, 400, 2]
