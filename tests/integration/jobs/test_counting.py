"""What a runner counts is what the store has in the end, on both databases."""

import json
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.jobs.claims import Claims, Settlement, Step
from service.jobs.model import State, StoreUnavailable
from service.jobs.store import open_store
from service.telemetry import logs
from service.telemetry.metrics.registry import REGISTRY
from tests.integration.jobs.actors import claim, new_job, settle
from tests.integration.jobs.workshop import Workshop
from tests.unit.jobs.receivers import receiver

WEBHOOKS: dict[str, Any] = {
    "webhook_secret": "a secret of twenty-four characters",
    "webhook_allow": ("127.0.0.0/8",),
}


def counts(name: str, **labels: str) -> Counter[str]:
    """Return the samples of a counter by the values of its other labels."""
    found: Counter[str] = Counter()
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                others = [value for key, value in sample.labels.items() if key not in labels]
                found[" ".join(others)] += int(sample.value)
    return found


class Count:
    """What is counted from now on."""

    def __init__(self, name: str, **labels: str) -> None:
        self._ask = lambda: counts(name, **labels)
        self._before = self._ask()

    @property
    def now(self) -> dict[str, int]:
        return dict(self._ask() - self._before)


def finished(task: str) -> Count:
    return Count("everycore_jobs_finished_total", task=task)


def attempts(task: str) -> Count:
    return Count("everycore_job_attempts_total", task=task)


def test_each_job_is_counted_once(workshop: Workshop):
    accepted = Count("everycore_jobs_accepted_total", task="twofold")
    ends, tries = finished("twofold"), attempts("twofold")
    lags = Count("everycore_job_lag_seconds_count", task="twofold")
    runs = Count("everycore_job_run_seconds_count", task="twofold")
    with workshop.runner():
        jobs = [workshop.submit("twofold", n=n) for n in range(50)]
        for job in jobs:
            workshop.wait(job)

    assert accepted.now == {"": 50}
    assert ends.now == {"succeeded": 50}
    assert tries.now == {"succeeded": 50}
    assert (lags.now, runs.now) == ({"": 50}, {"": 50})


def test_attempts_are_counted_by_how_they_ended(workshop: Workshop):
    ends, tries = finished("succeed_at"), attempts("succeed_at")
    with workshop.runner():
        workshop.wait(workshop.submit("succeed_at", file=str(workshop.notes), number=3))

    assert tries.now == {"task-failed": 2, "succeeded": 1}
    assert ends.now == {"succeeded": 1}


def test_so_are_crashes_and_limits(workshop: Workshop):
    crashed, held = attempts("crash"), attempts("hold")
    failed = finished("crash")
    with workshop.runner():
        crash = workshop.submit("crash", file=str(workshop.notes))
        late = workshop.submit("hold", {"timeout": 0.3}, file=str(workshop.folder / "held"))
        workshop.wait(crash)
        workshop.wait(late)

    assert crashed.now == {"task-crashed": 2}
    assert failed.now == {"failed": 1}
    assert held.now == {"deadline-exceeded": 1}


def test_who_is_cancelled_before_and_while_it_runs_is_counted_once(workshop: Workshop):
    ends, tries = finished("hold"), attempts("hold")
    later = workshop.submit("hold", {"run_at": time.time() + 60}, file=str(workshop.notes))
    workshop.store.cancel(later)
    assert ends.now == {"cancelled": 1}
    with workshop.runner():
        job = workshop.submit("hold", file=str(workshop.notes))
        workshop.until(lambda: len(workshop.noted()) == 1)
        workshop.store.cancel(job)
        workshop.wait(job)

    assert ends.now == {"cancelled": 2}
    assert tries.now == {"cancelled": 1}


def test_what_is_given_back_at_a_stop_has_not_ended(workshop: Workshop):
    ends, tries = finished("hold"), attempts("hold")
    with workshop.runner():
        workshop.submit("hold", file=str(workshop.notes))
        workshop.until(lambda: len(workshop.noted()) == 1)

    assert tries.now == {"given-back": 1}
    assert ends.now == {}


def test_who_expires_is_counted(workshop: Workshop):
    ends = finished("twofold")
    job = workshop.submit("twofold", {"expires_at": time.time() - 1}, n=1)
    with workshop.runner():
        workshop.wait(job)

    assert ends.now == {"expired": 1}


def test_a_batch_is_accepted_and_cancelled_job_by_job(store):
    accepted, ends = Count("everycore_jobs_accepted_total"), Count("everycore_jobs_finished_total")
    batch, _ = store.submit_batch([new_job("add"), new_job("add"), new_job("wait")], "")

    store.cancel_batch(batch.id)
    store.cancel_batch(batch.id)

    assert accepted.now == {"add": 2, "wait": 1}
    assert ends.now == {"add cancelled": 2, "wait cancelled": 1}


def test_the_same_submission_twice_is_one_job(store):
    accepted = Count("everycore_jobs_accepted_total", task="add")

    for _ in range(2):
        store.submit(new_job(idempotency_key="k", fingerprint="f"))

    assert accepted.now == {"": 1}


def test_what_the_store_did_not_take_is_not_counted(tmp_path: Path):
    (tmp_path / "file").touch()
    accepted = Count("everycore_jobs_accepted_total")
    store = open_store(f"sqlite:///{tmp_path}/file/jobs.db")

    with pytest.raises(StoreUnavailable):
        store.submit(new_job())

    assert accepted.now == {}


def test_a_job_that_is_given_back_while_it_is_to_be_cancelled_has_that_state(store, runner):
    """The store decides; so the state that is counted is the one that it returns."""
    job, _ = store.submit(new_job())
    (claimed,) = claim(runner)
    store.cancel(job.id)
    done = runner.step(Step(settlements=[Settlement(claimed.job, State.QUEUED)]))

    assert [state for _, state in done.settled] == [State.CANCELLED]
    assert not settle(runner, claimed.job)


def test_a_runner_that_is_gone_loses_its_lease_for_each_job(workshop: Workshop):
    losses, tries = Count("everycore_job_lease_losses_total"), attempts("twofold")
    job = workshop.submit("twofold", n=1)
    with closing(workshop.database()) as database:
        dead = Claims(database, ["twofold"])
        dead.register()
        assert len(claim(dead)) == 1

    with workshop.runner(job_lease=1):
        ended = workshop.wait(job)

    assert ended.attempts == 2
    assert losses.now == {"": 1}
    assert tries.now == {"runner-lost": 1, "succeeded": 1}


def test_deliveries_are_counted_by_what_became_of_them(workshop: Workshop, capsys):
    deliveries = Count("everycore_webhook_deliveries_total")
    answers = iter([b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 204 Yes\r\n\r\n", b"HTTP/1.1 410 Gone\r\n\r\n"])
    logs.configure("json", "info")
    with receiver(lambda sock, _: sock.sendall(next(answers))) as server, workshop.runner(**WEBHOOKS):
        hook = {"webhook": f"http://127.0.0.1:{server.port}/hook", "request_id": "order-7"}
        workshop.submit("twofold", hook, n=1)
        workshop.until(lambda: deliveries.now == {"retried": 1, "delivered": 1})
        workshop.submit("twofold", hook, n=1)
        workshop.until(lambda: deliveries.now == {"retried": 1, "delivered": 1, "given-up": 1})
    structlog.reset_defaults()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if line["event"] == "a webhook was not delivered"]
    assert [line["request_id"] for line in told] == ["order-7"] * 2
