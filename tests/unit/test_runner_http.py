"""The endpoint of a runner: what it answers, and that nobody can make it a nuisance."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service import keys, runner_http
from service.errors import ConfigurationError
from service.runner_http import Endpoint, answering
from service.telemetry.metrics import pipelines
from tests.e2e.running import wait_until


class One(Collector):
    """A gauge."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("everycore_of_this_test", "One.", 1)


class Runner:
    """Says what the test wants."""

    trouble: str | None = None


@pytest.fixture
def runner() -> Runner:
    return Runner()


Ask = Callable[..., httpx.Response]


@contextlib.contextmanager
def opened(runner: Runner, *known: keys.Key, address: str = "127.0.0.1:0") -> Iterator[Endpoint]:
    endpoint = Endpoint(address, lambda: runner.trouble, [One()], known)
    with answering(endpoint):
        yield endpoint


@pytest.fixture
def endpoint(runner: Runner) -> Iterator[Endpoint]:
    with opened(runner) as found:
        yield found


def ask(endpoint: Endpoint, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, f"http://{endpoint.address}{path}", headers=headers, timeout=20)


def connect(endpoint: Endpoint, said: bytes = b"") -> socket.socket:
    host, _, port = endpoint.address.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=20)
    connection.sendall(said)
    return connection


def test_health_is_whether_it_has_its_lease(endpoint, runner):
    answer = ask(endpoint, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    runner.trouble = "it could not renew its lease"
    answer = ask(endpoint, "/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "it could not renew its lease"}


def test_metrics_are_told_with_what_is_looked_up(endpoint):
    answer = ask(endpoint, "/metrics")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "everycore_of_this_test 1.0" in answer.text
    assert f"# HELP everycore_pipeline_runs_total {pipelines.RUNS._documentation}" in answer.text


def test_the_form_is_the_one_that_prometheus_asks_for(endpoint):
    answer = ask(endpoint, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/healthz/x", "/v1/tasks"])
def test_there_is_nothing_else(endpoint, path):
    assert ask(endpoint, path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "NONSENSE"])
def test_other_methods_are_none(endpoint, method):
    assert ask(endpoint, "/metrics", method).status_code == 501


def test_head_has_no_body(endpoint):
    answer = ask(endpoint, "/healthz", "HEAD")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_with_keys_metrics_need_one_and_health_does_not(runner):
    text, known = keys.new("prometheus")
    with opened(runner, known) as endpoint:
        assert ask(endpoint, "/healthz").status_code == 200
        refused = ask(endpoint, "/metrics")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        for wrong in (f"Basic {text}", "Bearer", "Bearer everycore_no", text):
            assert ask(endpoint, "/metrics", Authorization=wrong).status_code == 401
        assert ask(endpoint, "/metrics", Authorization=f"Bearer {text}").status_code == 200


def test_an_address_that_is_taken_is_told_of(endpoint, runner):
    with pytest.raises(ConfigurationError, match=r"SERVICE_RUNNER_BIND.*each runner.* needs one of its own"):
        Endpoint(endpoint.address, lambda: None, [], ())


def test_it_speaks_ipv6(runner):
    with opened(runner, address="[::1]:0") as endpoint:
        assert endpoint.address.startswith("[::1]:")
        assert ask(endpoint, "/healthz").status_code == 200


def test_the_address_is_free_again_when_it_is_closed(runner):
    with opened(runner) as endpoint:
        address = endpoint.address
        assert ask(endpoint, "/healthz").status_code == 200
    with opened(runner, address=address):
        pass


def test_a_body_is_not_waited_for(endpoint):
    with connect(endpoint, b"GET /healthz HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.0 200 ")


def test_clients_that_say_nothing_are_few_and_do_not_stay(endpoint, monkeypatch):
    monkeypatch.setattr(runner_http, "SECONDS", 60.0)
    before, most = threading.active_count(), runner_http.AT_ONCE
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(endpoint, b"GET /he")) for _ in range(3 * most)]
        # All that are too many are closed at once, the others in their time.
        assert [connection.recv(1) for connection in silent[most:]] == [b""] * (2 * most)
        assert len(endpoint._since) == most
        assert threading.active_count() <= before + most
        monkeypatch.setattr(runner_http, "SECONDS", 1.0)
        assert [connection.recv(1) for connection in silent] == [b""] * len(silent)
    # A client sees the end a moment before its place is free.
    wait_until(lambda: not endpoint._since, 10, lambda: f"{endpoint._since}")
    assert ask(endpoint, "/healthz").status_code == 200


def test_one_that_sends_by_drops_is_closed_in_the_end(endpoint, monkeypatch):
    monkeypatch.setattr(runner_http, "SECONDS", 1.0)
    began = time.monotonic()
    with connect(endpoint, b"GET /healthz HTTP/1.1\r\n") as connection, contextlib.suppress(OSError):
        while time.monotonic() < began + 20:
            connection.sendall(b"X: y\r\n")
            time.sleep(0.05)
    assert time.monotonic() - began < 10


def test_one_that_takes_nothing_of_its_answer_is_closed_in_the_end(runner, monkeypatch):
    monkeypatch.setattr(runner_http, "SECONDS", 1.0)

    class Large(Collector):
        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("everycore_large", "x" * 50_000_000, 1)

    endpoint = Endpoint("127.0.0.1:0", lambda: None, [Large()], ())
    with answering(endpoint), connect(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n"):
        wait_until(lambda: bool(endpoint._since), 20, str)
        wait_until(lambda: not endpoint._since, 20, str)


def test_what_goes_wrong_in_an_answer_ends_that_alone(runner):
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise RuntimeError("broken")

    endpoint = Endpoint("127.0.0.1:0", lambda: None, [Broken()], ())
    with answering(endpoint):
        with pytest.raises(httpx.TransportError):
            ask(endpoint, "/metrics")
        assert ask(endpoint, "/healthz").status_code == 200
