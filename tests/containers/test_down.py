"""``docker compose stop`` and ``down``: what runs may end, and nothing is left."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.containers.jobs import job, submissions
from tests.containers.stack import SERVICES, Stack, eventually

pytestmark = pytest.mark.timeout(400)

RUNNERS = 2
#: Seconds: much less than the grace, for nothing runs as long.
SOON = 30.0


@pytest.fixture
def another(built: Stack):
    """A second service of the same image: web and runners start at the same time, on an empty database."""
    stack = Stack(built.folder, image=built.image)
    try:
        stack.up("--no-build", "--scale", f"runner={RUNNERS}")
        yield stack
    finally:
        stack.clean_up()


def programs(stack: Stack, service: str) -> str:
    """Return the names of all processes in a container."""
    return stack.execute(service, "sh", "-c", "cat /proc/[0-9]*/comm")


def test_it_stops_after_what_runs_and_leaves_nothing(another):
    with submissions(another) as clients:
        clients.waits(1, seconds=3)
    (waiting,) = clients.accepted
    eventually(lambda: job(another, waiting)["state"] == "running", 30, another.logs)
    with ThreadPoolExecutor() as threads:
        request = threads.submit(another.get, "/parallel_data_processing/", params={"item": list(range(20))})
        eventually(lambda: "everycore-pool" in programs(another, "web"), 30, another.logs)
        begun = time.monotonic()
        another.compose("stop")
        took = time.monotonic() - begun

        assert request.result()["results"] == [f"Processed: {2 * item}" for item in range(20)]
    assert took < SOON
    ended = [(each["State"]["Status"], each["State"]["ExitCode"]) for each in another.containers()]
    assert ended == [("exited", 0)] * (len(SERVICES) + RUNNERS), another.logs()

    another.up()
    assert job(another, waiting)["state"] == "succeeded", "it had the time to end"

    begun = time.monotonic()
    another.compose("down", "-v")
    assert time.monotonic() - begun < SOON
    assert another.left() == ""
    with pytest.raises(httpx.ConnectError):
        another.get("/healthz")
