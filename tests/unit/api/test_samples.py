"""The samples, as they always were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from service import errors
from service.engine.fake import FakeEngine
from service.jobs.store import Store
from service.tasks import samples
from tests.unit.api.job_runs import HandRunner

CPU = "/concurrent_cpu_tasks/"
DATA = "/parallel_data_processing/"
QUEUE = "/process_queue_communication/"
PROCESS = "/start_background_process/"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engine runs one item after the other; the wait is not what is tested here."""
    monkeypatch.setattr(samples, "ITEM_SECONDS", 0)


def test_sums_up_to_each_n(client: FlaskClient) -> None:
    document = client.get(f"{CPU}?n=5&n=0&n=3").get_json()

    assert document["results"] == [30, 0, 5]
    assert document["total_time"] >= 0
    assert set(document) == {"results", "total_time"}


def test_sums_are_those_of_the_original_unless_told_otherwise(
    make_client: Callable[..., FlaskClient],
) -> None:
    """They are asked for; the fake engine does not compute them."""
    engine = FakeEngine({"sum_of_squares": errors.Cancelled()})

    class Remembering(FakeEngine):
        def run(self, calls: Any, **options: Any) -> Any:
            self.calls = list(calls)
            return engine.run(self.calls, **options)

    remembering = Remembering()
    make_client(remembering).get(CPU)

    numbers = [call.args["n"] for call in remembering.calls]
    assert numbers == [10_000_000, 8_000_000, 12_000_000, 9_000_000]


def test_sums_come_in_order_of_completion(make_client: Callable[..., FlaskClient]) -> None:
    class Backwards(FakeEngine):
        def run(self, calls: Any, **options: Any) -> Any:
            yield from super().run(reversed(list(calls)), **options)

    client = make_client(Backwards())

    assert client.get(f"{CPU}?n=5&n=3").get_json()["results"] == [5, 30]
    assert client.get(f"{CPU}?n=3&n=5").get_json()["results"] == [30, 5]


@pytest.mark.usefixtures("quick")
def test_items_come_in_their_own_order(make_client: Callable[..., FlaskClient]) -> None:
    class Backwards(FakeEngine):
        def run(self, calls: Any, **options: Any) -> Any:
            yield from super().run(reversed(list(calls)), **options)

    document = make_client(Backwards()).get(DATA).get_json()

    assert document["results"] == [f"Processed: {2 * item}" for item in range(1, 11)]
    assert set(document) == {"results", "total_time"}


@pytest.mark.usefixtures("quick")
def test_a_thousand_items_are_taken(client: FlaskClient) -> None:
    query = urlencode([("item", n) for n in range(-500, 500)])

    results = client.get(f"{DATA}?{query}").get_json()["results"]

    assert (len(results), results[0], results[-1]) == (1000, "Processed: -1000", "Processed: 998")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        (f"{CPU}?n=", "'n' must be an integer from 0 to 100000000, not ''"),
        (f"{CPU}?n=1&n=x", "not 'x'"),
        (f"{CPU}?n=-1", "not '-1'"),
        (f"{CPU}?n=100000001", "not '100000001'"),
        (f"{CPU}?n=1.0", "not '1.0'"),
        (f"{CPU}?n=1e3", "not '1e3'"),
        (f"{CPU}?n=%2B1", "not '+1'"),
        (f"{CPU}?n=+1", "not ' 1'"),
        (f"{CPU}?n=%D9%A3", "'n' must be"),
        (f"{CPU}?n=%ff", "'n' must be"),
        (f"{CPU}?n=%00", "'n' must be"),
        (f"{CPU}?n=" + "9" * 5000, "..."),
        (f"{CPU}?" + "n=1&" * 65, "'n' is given 65 times; at most 64 are taken"),
        (f"{CPU}?m=1", "unknown parameter 'm'; this sample takes only 'n'"),
        (f"{CPU}?n=1&item=1", "unknown parameter 'item'"),
        (f"{DATA}?item=one", "'item' must be an integer"),
        (f"{DATA}?item=" + "1" * 19, "'item' must be an integer"),
        (f"{DATA}?" + "item=1&" * 1001, "'item' is given 1001 times; at most 1000 are taken"),
        (f"{DATA}?n=1", "unknown parameter 'n'"),
        (f"{QUEUE}?items=many", "'items' must be an integer from 0 to 1000"),
        (f"{QUEUE}?items=1001", "'items' must be an integer from 0 to 1000"),
        (f"{QUEUE}?items=1&items=2", "'items' is given 2 times; at most 1 are taken"),
        (f"{QUEUE}?n=1", "unknown parameter 'n'; this sample takes only 'items'"),
    ],
)
def test_anything_else_is_refused_clearly(
    client: FlaskClient, engine: FakeEngine, path: str, complaint: str
) -> None:
    answer = client.get(path)

    assert answer.status_code == 400
    assert answer.content_type == "application/json"
    assert set(answer.get_json()) == {"error"}
    assert complaint in answer.get_json()["error"]
    assert len(answer.data) < 300
    assert engine.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.TaskCrashed(7, -9), 500),
        (errors.DeadlineExceeded(30, started=True), 504),
        (errors.Saturated("full", 2.1), 503),
        (errors.Stopping(), 503),
    ],
)
def test_errors_keep_the_samples_own_form(
    make_client: Callable[..., FlaskClient], error: Any, status: int
) -> None:
    answer = make_client(FakeEngine({"sum_of_squares": error})).get(CPU)

    assert answer.status_code == status
    assert answer.get_json() == {"error": str(error)}
    assert answer.headers.get("Retry-After") == ("3" if isinstance(error, errors.Saturated) else None)


def test_the_first_error_stops_the_rest(make_client: Callable[..., FlaskClient]) -> None:
    class Watched(FakeEngine):
        ended_early = False

        def run(self, calls: Any, **options: Any) -> Any:
            try:
                yield from super().run(calls, **options)
            except GeneratorExit:
                self.ended_early = True
                raise

    engine = Watched({"sum_of_squares": errors.Cancelled()})
    make_client(engine).get(CPU)

    assert engine.ended_early
    assert len(engine.calls) == 1


def test_a_wrong_request_timeout_is_refused_in_the_samples_form(client: FlaskClient) -> None:
    answer = client.get(CPU, headers={"Request-Timeout": "never"})

    assert answer.status_code == 400
    assert set(answer.get_json()) == {"error"}


def test_an_error_of_our_own_says_nothing(make_client: Callable[..., FlaskClient]) -> None:
    class Broken(FakeEngine):
        def run(self, calls: Any, **options: Any) -> Any:
            raise LookupError("secret")

    answer = make_client(Broken()).get(CPU)

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert set(answer.get_json()) == {"error"}


def test_a_path_without_its_slash_leads_to_the_sample(client: FlaskClient) -> None:
    answer = client.get("/concurrent_cpu_tasks?n=5", follow_redirects=True)

    assert answer.get_json()["results"] == [30]


class TestBackgroundProcess:
    def test_it_is_started_and_the_answer_comes_at_once(
        self, client: FlaskClient, runner: HandRunner
    ) -> None:
        answer = client.post(PROCESS, json={"message": "hello", "duration": 0})

        assert answer.status_code == 202
        document = answer.get_json()
        assert document.keys() == {"message", "job"}
        assert document["message"] == "Background task started successfully"
        href = f"/v1/jobs/{document['job']['id']}"
        assert document["job"]["href"] == answer.headers["Location"] == href
        assert client.get(href).get_json()["state"] == "queued"
        runner.run()
        assert client.get(href).get_json()["state"] == "succeeded"

    def test_a_fraction_and_more_members_are_taken(self, client: FlaskClient) -> None:
        answer = client.post(f"{PROCESS[:-1]}", json={"message": "", "duration": 0.5, "priority": "high"})

        assert answer.status_code == 202

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"{}",
            b'{"message": "hello"}',
            b'{"duration": 1}',
            b'{"message": null, "duration": 1}',
            b'{"message": 5, "duration": 1}',
            b'{"message": "hello", "duration": "1"}',
            b'{"message": "hello", "duration": true}',
            b'{"message": "hello", "duration": [1]}',
            b'{"message": "hello", "duration": NaN}',
            b'{"message": "hello", "duration": 1e999}',
            b'{"message": "\\ud800", "duration": 1}',
            b"message=hello&duration=1",
        ],
    )
    def test_anything_missing_or_of_another_type_is_refused(
        self, client: FlaskClient, store: Store, body: bytes
    ) -> None:
        answer = client.post(PROCESS, data=body)

        assert answer.status_code == 400
        assert answer.get_json() == {"error": "Missing message or duration in request"}
        assert store.counts() == {}

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            ({"message": "hello", "duration": -1}, "duration: "),
            ({"message": "hello", "duration": 10**400}, "duration: "),
            ({"message": "hello" * 10_000, "duration": 1}, "message: "),
        ],
    )
    def test_what_the_task_does_not_take_is_told(
        self, client: FlaskClient, body: dict[str, Any], complaint: str
    ) -> None:
        answer = client.post(PROCESS, json=body)

        assert answer.status_code == 400
        assert answer.get_json()["error"].startswith(complaint)

    def test_other_errors_keep_the_samples_own_form(self, client: FlaskClient) -> None:
        answer = client.post(PROCESS, data=b"x" * 200_000)

        assert (answer.status_code, set(answer.get_json())) == (413, {"error"})
