"""What follows the end of a job is there in the same transaction."""

import json
import time
from typing import Any

import pytest

from service.jobs.arguments import JSON
from service.jobs.claims import Claims
from service.jobs.model import Payload, State
from service.tasks import registry
from tests.integration.jobs.actors import claim, new_job, settle


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_message_to_the_webhook_is_there_when_the_job_has_ended(store, runner, state):
    hook = "https://example.org/hook"
    job, _ = store.submit(new_job(webhook=hook))
    (claimed,) = claim(runner)
    assert settle(runner, claimed.job, State.QUEUED, run_at=0)
    assert store.deliveries(job.id) == [], "it has not ended"
    (claimed,) = claim(runner)

    settle(runner, claimed.job, state)

    (delivery,) = store.deliveries(job.id)
    assert (delivery.job, delivery.url, delivery.event) == (job.id, hook, f"job.{state}")
    assert (delivery.state, delivery.attempts, delivery.status) == ("pending", 0, None)
    assert delivery.created_at == pytest.approx(time.time(), abs=10)


def test_whatever_ends_a_job_leaves_a_message(store, runner, database):
    hook = "https://example.org/hook"
    single = store.submit(new_job(webhook=hook))[0].id
    batch, several = store.submit_batch([new_job(webhook=hook)], "")

    store.cancel(single)
    store.cancel_batch(batch.id)

    for job in (single, *several):
        assert [each.event for each in store.deliveries(job)] == ["job.cancelled"]
    store.retry(single)
    (claimed,) = claim(runner)
    settle(runner, claimed.job)
    assert [each.event for each in store.deliveries(single)] == ["job.cancelled", "job.succeeded"]


@pytest.fixture
def adventurer(database) -> Claims:
    registry.load(["tests.integration.jobs.follow_up_tasks"])
    claims = Claims(database, ("adventure", "celebrate", "regret"))
    claims.register()
    return claims


@pytest.mark.parametrize(
    ("state", "follower", "told"),
    [
        (State.SUCCEEDED, "celebrate", {"result": [1, {"a": None}], "error": None}),
        (State.FAILED, "regret", {"result": None, "error": {"title": "lost"}}),
        (State.CANCELLED, None, {}),
        (State.QUEUED, None, {}),
    ],
)
def test_a_follow_up_job_is_there_when_the_job_has_ended(store, adventurer, state, follower, told):
    given: dict[str, Any] = {"priority": 5, "owner": "somebody", "request_id": "r", "batch": None}
    job, _ = store.submit(new_job("adventure", **given))
    (claimed,) = claim(adventurer)

    result = Payload(JSON, b'[1, {"a": null}]') if state is State.SUCCEEDED else None
    error = {"title": "lost"} if state is State.FAILED else None
    assert settle(adventurer, claimed.job, state, result=result, error=error, run_at=time.time() + 60)

    others = [each for each in store.list()[0] if each.id != job.id]
    if follower is None:
        assert others == []
        return
    (follow_up,) = others
    assert (follow_up.task, follow_up.parent, follow_up.state) == (follower, job.id, State.QUEUED)
    assert {name: getattr(follow_up, name) for name in given} == given
    args = store.args(follow_up.id)
    assert args is not None
    expected = {"id": job.id, "task": "adventure", "state": state, "attempts": 1, **told}
    assert json.loads(args.content) == {"job": expected}
    if follower == "celebrate":
        assert (follow_up.cpu, follow_up.timeout, follow_up.max_attempts) == (0, 5, 3)


def test_a_follow_up_is_told_no_bytes(store, adventurer):
    job, _ = store.submit(new_job("adventure"))
    (claimed,) = claim(adventurer)

    settle(adventurer, claimed.job, result=Payload("image/png", b"\x89PNG"))

    (follow_up,) = [each for each in store.list()[0] if each.id != job.id]
    args = store.args(follow_up.id)
    assert args is not None
    assert json.loads(args.content)["job"]["result"] is None
