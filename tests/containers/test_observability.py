"""Prometheus beside the running service: it finds every container, and what it is to compute has values."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.containers.stack import Stack, eventually
from tests.observability import Expression, alerts, documented, plotted, recorded

pytestmark = pytest.mark.timeout(400)

#: Seconds until what has happened shows: the next scrape, the next evaluation, and a second value for a rate.
SOON = 120.0

#: Panels that are empty as long as all is well.
EMPTY_WHEN_WELL = {"Alerts", "Failed, of those that ended"}


class Prometheus:
    """The one of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"http://127.0.0.1:{stack.variables['PROMETHEUS_PORT']}/api/v1"

    def ask(self, what: str, **parameters: str) -> Any:
        """Return the data of an answer, which must be a good one."""
        answer = httpx.get(f"{self._url}/{what}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule as Prometheus sees it."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def now(self) -> datetime:
        """Return what time it is there."""
        return datetime.fromtimestamp(float(self.ask("query", query="time()")["result"][1]), UTC)

    def has_evaluated(self, kind: str, since: datetime) -> bool:
        """Tell whether all rules of a kind were evaluated since then."""
        rules = [rule for rule in self.rules() if rule["type"] == kind]
        return all(datetime.fromisoformat(rule["lastEvaluation"]) > since for rule in rules)

    def sees_all(self) -> bool:
        """Tell whether every target has answered, and those that are gone are forgotten."""
        answer = {health for found in self.up().values() for health in found} == {"up"}
        return answer and not self.query("up == 0")

    def up(self) -> dict[str, list[str]]:
        """Return by job how each of its targets is."""
        found: dict[str, list[str]] = {}
        for target in self.ask("targets")["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Iterator[Prometheus]:
    """Prometheus, with a service to watch that has done a little of everything."""
    stack.up("prometheus")
    try:
        found = Prometheus(stack)
        use(stack)
        yield found
    finally:
        stack.compose("rm", "--stop", "--force", "--volumes", "prometheus")


def use(stack: Stack) -> None:
    """Have the service do a little of everything."""
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        client.post("/v1/tasks/sum_of_squares", json={"n": 1000}).raise_for_status()
        client.post("/v1/pipelines/process_queue_communication", json={"items": 3}).raise_for_status()
        job = client.post("/v1/jobs", json={"task": "sum_of_squares", "args": {"n": 1000}}).json()
        client.get(f"{job['href']}?wait=30").raise_for_status()
        assert client.post("/v1/tasks/sum_of_squares", json={}).status_code == 422
        assert client.get("/no/such/path").status_code == 404


def test_every_container_is_found_and_answers(stack: Stack, prometheus: Prometheus) -> None:
    healthy = {job: ["up"] for job in ("everycore-web", "everycore-runner", "proxy", "prometheus")}

    eventually(lambda: prometheus.up() == healthy, SOON, lambda: str(prometheus.ask("targets")))

    stack.up("--no-recreate", "--scale", "runner=2")
    try:
        both = healthy | {"everycore-runner": ["up", "up"]}
        eventually(lambda: prometheus.up() == both, SOON, lambda: str(prometheus.ask("targets")))
    finally:
        stack.up("--scale", "runner=1")


class TestRules:
    def test_each_is_loaded_and_evaluated_without_an_error(self, prometheus: Prometheus) -> None:
        def evaluated() -> bool:
            return all(rule["health"] != "unknown" for rule in prometheus.rules())

        eventually(evaluated, SOON, lambda: str(prometheus.rules()))

        found = prometheus.rules()
        expected = [*recorded(), *(alert.where for alert in alerts())]
        assert sorted(rule["name"] for rule in found) == sorted(expected)
        assert [(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"] == []

    def test_their_own_tests_pass(self, stack: Stack, prometheus: Prometheus) -> None:
        folder = "/etc/prometheus"

        stack.execute("prometheus", "promtool", "check", "config", f"{folder}/prometheus.yml")
        # It needs a folder that can be written to.
        stack.execute(
            "prometheus", "sh", "-c", f"TMPDIR=/prometheus promtool test rules {folder}/tests/*.yml"
        )


class TestExpressions:
    EVERY = (*recorded().values(), *alerts(), *plotted(), *documented())

    def test_each_can_be_evaluated(self, prometheus: Prometheus) -> None:
        for expression in self.EVERY:
            prometheus.query(expression.text)

    def test_each_panel_has_something_to_show(self, stack: Stack, prometheus: Prometheus) -> None:
        def empty() -> list[Expression]:
            return [
                found
                for found in plotted()
                if found.where not in EMPTY_WHEN_WELL and not prometheus.query(found.text)
            ]

        def filled() -> bool:
            use(stack)
            return not empty()

        eventually(filled, SOON, lambda: "\n".join(f"{found.where}: {found.text}" for found in empty()))


class TestAlerts:
    def test_none_fires_while_all_is_well(self, prometheus: Prometheus) -> None:
        eventually(prometheus.sees_all, SOON, lambda: str(prometheus.up()))
        for kind in ("recording", "alerting"):  # alerts look at what recording rules have written
            evaluated = functools.partial(prometheus.has_evaluated, kind, prometheus.now())
            eventually(evaluated, SOON, lambda: str(prometheus.rules()))

        found = [rule for rule in prometheus.rules() if rule["type"] == "alerting"]
        assert len(found) == len(alerts())
        assert {(rule["health"], rule["state"]) for rule in found} == {("ok", "inactive")}, found

    def test_one_is_raised_when_the_runner_stops(self, stack: Stack, prometheus: Prometheus) -> None:
        raised = 'ALERTS{alertname="EverycoreNoRunner"}'
        assert prometheus.query(raised) == []

        stack.compose("stop", "runner")
        try:
            eventually(
                lambda: bool(prometheus.query(raised)),
                SOON,
                lambda: str(prometheus.query("everycore_runners")),
            )
        finally:
            stack.up()

        eventually(
            lambda: not prometheus.query(raised), SOON, lambda: str(prometheus.query("everycore_runners"))
        )
