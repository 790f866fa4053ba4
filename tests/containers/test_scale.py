"""``docker compose up --scale runner=3``: several runners share the jobs."""

import re

import pytest

from tests.containers.jobs import job, submissions
from tests.containers.stack import Stack, eventually

pytestmark = pytest.mark.timeout(400)

RUNNERS, JOBS = 3, 40


def hosts_at_work(stack: Stack) -> set[str]:
    """Return the containers that run jobs at this moment."""
    query = "SELECT DISTINCT host FROM jobs JOIN runners ON runners.id = jobs.runner WHERE state = 'running'"
    said = stack.execute("postgres", "psql", "-U", "everycore", "-At", "-c", query)
    return set(said.split())


def test_three_runners_share_the_jobs(stack):
    stack.up("--no-recreate", "--scale", f"runner={RUNNERS}")
    try:
        hosts = {container["Config"]["Hostname"] for container in stack.containers("runner")}
        assert len(hosts) == RUNNERS
        status = stack.execute("web", "python", "-m", "service", "db", "status")
        assert hosts <= set(re.findall(r"\b[0-9a-f]{12}\b", status))

        with submissions(stack) as clients:
            clients.waits(JOBS, seconds=1)
            seen: set[str] = set()

            def all_seen() -> bool:
                seen.update(hosts_at_work(stack))
                return len(seen) == RUNNERS

            eventually(all_seen, 60, lambda: f"{seen}")
        assert seen == hosts
        assert len(clients.accepted) == JOBS
        eventually(
            lambda: all(job(stack, each).get("state") == "succeeded" for each in clients.accepted),
            120,
            stack.logs,
        )
    finally:
        stack.up("--scale", "runner=1")
    assert len(stack.containers("runner")) == 1
