"""SIGKILL for the main process of each container, with jobs under way: what was accepted gets done."""

from typing import Any

import pytest

from tests.containers.jobs import job, submissions
from tests.containers.stack import SERVICES, Stack, eventually

pytestmark = pytest.mark.timeout(400)

#: Numbers of jobs that are short, and of those that are under way when something dies.
SHORT, LONG = range(1000, 1060), 6
#: Seconds for a restart, for the leases of whoever died, and for the jobs.
WITHIN = 90.0


def restarts(stack: Stack) -> dict[str, int]:
    return {service: stack.container(service)["RestartCount"] for service in SERVICES}


def all_healthy(stack: Stack) -> bool:
    states = [stack.container(service)["State"] for service in SERVICES]
    return all(state.get("Health", {}).get("Status") == "healthy" for state in states)


@pytest.mark.parametrize("victim", SERVICES)
def test_no_accepted_job_is_lost(stack, victim):
    before = restarts(stack)
    with submissions(stack) as clients:
        # A runner is killed while it has them, however long that takes the engine.
        clients.waits(LONG, seconds=5 if victim == "runner" else 2)
        eventually(lambda: len(clients.accepted) == LONG, WITHIN, stack.logs)
        long = dict(clients.accepted)
        eventually(lambda: any(job(stack, each).get("state") == "running" for each in long), 30, stack.logs)
        clients.sums(SHORT)
        eventually(lambda: len(clients.accepted) > LONG, WITHIN, stack.logs)
        stack.kill_main_process(victim)
    accepted = clients.accepted

    assert len(accepted) == LONG + len(SHORT), "clients that try again get everything accepted"
    ended: dict[str, dict[str, Any]] = {}

    def all_succeeded() -> bool:
        for each in accepted.keys() - ended.keys():
            found = job(stack, each)
            if found.get("state") not in ("queued", "running", None):
                ended[each] = found
        return len(ended) == len(accepted)

    eventually(all_succeeded, WITHIN, stack.logs)
    assert {each: found["state"] for each, found in ended.items()} == dict.fromkeys(accepted, "succeeded")
    assert {each: found["result"] for each, found in ended.items()} == accepted
    if victim == "runner":
        assert any(ended[each]["attempts"] > 1 for each in long), "what it ran is run again"

    # It was the engine that started it again, and nobody else had to be.
    assert restarts(stack) == {**before, victim: before[victim] + 1}
    eventually(lambda: all_healthy(stack), WITHIN, stack.logs)
