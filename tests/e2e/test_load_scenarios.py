"""The scenarios of the load tests, by Locust, asking a real service for a few seconds."""

import contextlib
import itertools
import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loadtests.scenarios import NAMES
from loadtests.scenarios.answers import sum_of_squares
from tests import load_tests
from tests.unit.pages import ROOT

pytestmark = [load_tests.needed, pytest.mark.timeout(120)]

SCENARIOS = re.findall(
    r'^    "(\w+)": \w+,$', (ROOT / "loadtests" / "locustfile.py").read_text(), re.MULTILINE
)
#: A busy machine may be slow; wrong, it may not be.
OBJECTIVES = """
[default]
requests = 1
failures = 0.0
refusals = 0.0
"""


class Run:
    """One run of Locust that has come to its end."""

    def __init__(self, folder: Path, url: str, *options: str, **variables: str) -> None:
        objectives = folder / "slo.toml"
        objectives.write_text(OBJECTIVES)
        command = [
            *(str(load_tests.PYTHON), "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")),
            *("--headless", "--only-summary", "--host", url, "--slo", str(objectives), "-s", "5", *options),
        ]
        run = subprocess.run(
            command,
            cwd=folder,
            env=load_tests.environment() | variables,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        self.status = run.returncode
        self.said = run.stdout + run.stderr

    def requests(self) -> dict[str, float]:
        """Return the number of each scenario's tasks, as the objectives tell of them."""
        found = re.findall(r"^(\w+) +requests .* (\d+)", self.said, re.MULTILINE)
        return {name: float(number) for name, number in found}


def scenarios(*names: str) -> list[str]:
    return [part for name in names for part in ("--scenario", name)]


def test_each_scenario_gets_right_answers(serve, tmp_path):
    service = serve(SERVICE_TASK_MODULES="loadtests.http_tasks")
    users = str(len(SCENARIOS))

    run = Run(tmp_path, service.url, "-u", users, "-r", users, "-t", "8s", *scenarios(*SCENARIOS))

    assert run.status == 0, run.said
    assert set(run.requests()) == {*SCENARIOS, "total"} - {"mix"}
    assert "objectives kept" in run.said
    assert len(SCENARIOS) == 11


def test_scenarios_are_known_without_locust():
    assert list(NAMES) == SCENARIOS


def test_a_service_with_keys_and_built_in_tasks_alone_is_asked_by_a_shape_in_two_processes(serve, tmp_path):
    key = subprocess.check_output(
        [load_tests.PYTHON, "-m", "service", "keys", "new", "load"],
        cwd=tmp_path,
        env=load_tests.environment(),
        text=True,
    )
    secret, line = key.split()
    service = serve(SERVICE_API_KEYS=line)
    shape = (
        "--shape",
        "ramp",
        "--shape-seconds",
        "10",
        "--users-per-core",
        "4",
        "--cores",
        "1",
        "--pace",
        "5",
    )
    chosen = scenarios("streams", "fan_out")

    run = Run(tmp_path, service.url, "--processes", "2", *shape, *chosen, EVERYCORE_API_KEY=secret)

    assert run.status == 0, run.said
    assert "2 workers connected" in run.said
    assert run.said.count("objectives kept") == 1  # by the master alone
    assert set(run.requests()) == {"streams", "fan_out", "total"}
    assert "no task stream_numbers there" in run.said


def test_without_the_key_every_answer_is_a_failure(serve, tmp_path):
    service = serve(SERVICE_API_KEYS="load:" + 64 * "a")

    run = Run(tmp_path, service.url, "-u", "1", "-t", "2s", "--scenario", "uploads")

    assert run.status == 1
    assert "MISSED: failures of uploads is 1, above 0" in run.said
    assert "status 401 in place of 200" in run.said


class Wrong(BaseHTTPRequestHandler):
    """Answers everything at once, with the right status and with nonsense."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.say(200, {"results": [], "result": 1, "summary": {}})

    do_POST = do_GET  # noqa: N815 - http.server's name

    def say(self, status: int, document: object, **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Request-ID": "nonsense", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Stopping(Wrong):
    """Has jobs, and lets nobody wait for the end of one: who comes again finds it ended."""

    numbers = itertools.count()
    jobs: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[Counter[str]] = Counter()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        href = f"/v1/jobs/{next(self.numbers)}"
        self.jobs[href] = body
        if "message" in body:
            self.say(
                202, {"message": "Background task started successfully", "job": {"href": href}}, Location=href
            )
        else:
            self.say(202, {"state": "queued", "href": href}, Location=href)

    def do_GET(self) -> None:
        href = self.path.removesuffix("/log").partition("?")[0]
        body = self.jobs.get(href, {})
        if self.path.endswith("/log"):
            self.say(200, "started: {0}, finished: {0}".format(body["message"]))
            return
        self.asked[href] += 1
        if self.asked[href] == 1:
            self.say(200, {"state": "running"})
        else:
            result = sum_of_squares(body["args"]["n"]) if "args" in body else None
            self.say(200, {"state": "succeeded", "result": result})


@contextlib.contextmanager
def asked(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_wrong_answer_is_a_failure_whatever_its_status(tmp_path):
    names = [name for name in SCENARIOS if name != "mix"]
    users = str(len(names))
    with asked(Wrong) as url:
        run = Run(tmp_path, url, "-u", users, "-r", users, "-t", "3s", "--pace", "5", *scenarios(*names))

    assert run.status == 1
    assert {name for name in names if f"MISSED: failures of {name} is 1, above 0" in run.said} == set(names)
    assert re.search(r"POST /v1/tasks/\S+: Wrong\(.*\) \(request id nonsense\)", run.said)


def test_who_waits_for_a_job_asks_again_when_a_server_that_stops_has_answered_before_its_end(tmp_path):
    names = ("jobs", "sample_background")
    with asked(Stopping) as url:
        run = Run(tmp_path, url, "-u", "2", "-r", "2", "-t", "4s", "--pace", "5", *scenarios(*names))

    assert run.status == 0, run.said
    assert set(run.requests()) == {*names, "total"}
    assert max(Stopping.asked.values()) == 2


def test_nobody_there_is_a_failure(tmp_path):
    run = Run(
        tmp_path, "http://127.0.0.1:1", "-u", "2", "-t", "2s", "--pace", "5", "--tags", "jobs", "streams"
    )

    assert run.status == 1
    assert "MISSED: failures of jobs is 1, above 0" in run.said
    assert "no answer: ConnectionRefusedError" in run.said


def test_a_mistake_in_the_objectives_is_told_before_the_run(tmp_path):
    (tmp_path / "bad.toml").write_text("[default]\np90 = 3\n")

    run = Run(tmp_path, "http://127.0.0.1:1", "-t", "60s", "--slo", str(tmp_path / "bad.toml"))

    assert run.status == 1
    assert "error: " in run.said
    assert "[default] has 'p90'" in run.said
