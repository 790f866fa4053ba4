"""``docker compose --profile loadtest up``: Locust's page, and workers that ask the service for something."""

from typing import Any

import httpx
import pytest

from tests.containers.stack import SLOW, Stack, eventually, run

pytestmark = pytest.mark.timeout(400)

WORKERS = 2
#: Requests that must have been answered, and seconds in which.
ENOUGH, WITHIN = 20, 60.0


@pytest.fixture
def locust(stack: Stack):
    """Locust's page, beside the service."""
    image = f"{stack.image}-loadtest"
    try:
        stack.compose("build", "locust", timeout=SLOW)
        stack.up("--no-build", "locust", "locust-worker")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{stack.variables['LOCUST_PORT']}", timeout=30
        ) as client:
            yield client
    finally:
        stack.compose("rm", "--stop", "--force", "locust", "locust-worker")
        run("docker", "image", "rm", "--force", image)


def test_its_workers_ask_and_get_right_answers(stack, locust):
    def figures() -> dict[str, Any]:
        found: dict[str, Any] = locust.get("/stats/requests").json()
        return found

    eventually(
        lambda: len(figures()["workers"]) == WORKERS, 30, lambda: stack.logs("locust", "locust-worker")
    )

    started = locust.post(
        "/swarm", data={"user_count": 4, "spawn_rate": 4, "user_classes": "SampleConcurrent"}
    )
    assert started.json()["success"], started.text

    def enough() -> bool:
        total = sum(row["num_requests"] for row in figures()["stats"] if row["name"] == "Aggregated")
        return int(total) >= ENOUGH

    eventually(enough, WITHIN, lambda: f"{figures()}{stack.logs('locust', 'locust-worker')}")
    locust.get("/stop")
    assert figures()["fail_ratio"] == 0, figures()["errors"]
