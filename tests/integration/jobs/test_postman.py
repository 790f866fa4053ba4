"""Messages to webhooks: sent when a job has ended, signed, and again until they were taken."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from service.jobs.model import Delivery, State
from service.jobs.webhooks.signature import verify
from tests.integration.jobs.workshop import TASKS, Workshop
from tests.unit.jobs.receivers import Receiver, receiver, status

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of twenty-four characters"
SETTINGS: dict[str, Any] = {"webhook_secret": SECRET, "webhook_allow": ("127.0.0.0/8",)}


def hook(server: Receiver) -> dict[str, Any]:
    return {"webhook": f"http://127.0.0.1:{server.port}/hook"}


def settled(workshop: Workshop, job: str) -> Delivery:
    """Wait for the end of a job's only delivery."""
    workshop.until(lambda: [d.state for d in workshop.store.deliveries(job)] not in ([], ["pending"]))
    (delivery,) = workshop.store.deliveries(job)
    return delivery


def test_a_message_says_what_became_of_the_job(workshop: Workshop) -> None:
    with receiver(status(200)) as server, workshop.runner(**SETTINGS):
        job = workshop.submit("twofold", hook(server), n=21)
        delivery = settled(workshop, job)

    assert (delivery.state, delivery.attempts, delivery.status, delivery.error) == ("delivered", 1, 200, None)
    (request,) = server.requests
    verify(SECRET, request.headers, request.body)
    message = json.loads(request.body)
    assert request.headers["webhook-id"] == delivery.id
    assert (message["type"], message["data"]["id"]) == ("job.succeeded", job)
    assert (message["data"]["state"], message["data"]["result"]) == ("succeeded", 42)


def test_there_is_one_for_each_way_to_end(workshop: Workshop) -> None:
    with receiver(status(200)) as server, workshop.runner(**SETTINGS):
        failed = workshop.submit("fail_otherwise", hook(server), file=str(workshop.notes))
        held = workshop.submit("hold", hook(server), file=str(workshop.folder / "held"))
        expired = workshop.submit("twofold", hook(server) | {"expires_at": 1.0}, n=1)
        workshop.wait(held, State.RUNNING)
        workshop.store.cancel(held)
        for job in (failed, held, expired):
            assert settled(workshop, job).state == "delivered"

    types = sorted(json.loads(request.body)["type"] for request in server.requests)
    assert types == ["job.cancelled", "job.expired", "job.failed"]


def test_one_that_was_not_taken_is_sent_again(workshop: Workshop) -> None:
    answers = iter([b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 204 Yes\r\n\r\n"])
    with receiver(lambda sock, _: sock.sendall(next(answers))) as server, workshop.runner(**SETTINGS):
        delivery = settled(workshop, workshop.submit("twofold", hook(server), n=1))

    assert (delivery.state, delivery.attempts, delivery.status) == ("delivered", 2, 204)
    first, second = server.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    verify(SECRET, second.headers, second.body)


def test_a_receiver_that_is_gone_gets_no_other(workshop: Workshop) -> None:
    with receiver(status(410)) as server, workshop.runner(**SETTINGS):
        delivery = settled(workshop, workshop.submit("twofold", hook(server), n=1))

    assert (delivery.state, delivery.attempts) == ("failed", 1)
    assert delivery.error == "the answer was 410"


def test_an_address_that_is_not_allowed_gets_none(workshop: Workshop) -> None:
    with receiver(status(200)) as server, workshop.runner(webhook_secret=SECRET):
        delivery = settled(workshop, workshop.submit("twofold", hook(server), n=1))

    assert (delivery.state, server.requests) == ("failed", [])
    assert "not public" in str(delivery.error)


def test_a_receiver_that_hangs_holds_up_no_job(workshop: Workshop) -> None:
    def hang(_: socket.socket, over: threading.Event) -> None:
        over.wait(20)

    with receiver(hang) as server, workshop.runner(**SETTINGS):
        for n in range(6):
            workshop.wait(workshop.submit("twofold", hook(server), n=n))
        workshop.until(lambda: len(server.requests) == 2)
        assert workshop.wait(workshop.submit("twofold", n=1), within=5).state == State.SUCCEEDED
        server.over.set()


def test_a_runner_that_dies_at_it_leaves_it_to_another(workshop: Workshop) -> None:
    came = threading.Event()

    def hang(sock: socket.socket, over: threading.Event) -> None:
        if came.is_set():
            sock.sendall(b"HTTP/1.1 204 Yes\r\n\r\n")
        else:
            came.set()
            over.wait(60)

    with receiver(hang) as server:
        variables = {
            "SERVICE_DATABASE_URL": workshop.url,
            "SERVICE_TASK_MODULES": TASKS,
            "SERVICE_WEBHOOK_SECRET": SECRET,
            "SERVICE_WEBHOOK_ALLOW": "127.0.0.0/8",
            "PYTHONPATH": str(ROOT),
        }
        runner = subprocess.Popen(
            [sys.executable, "-m", "service", "runner"],
            cwd=workshop.folder,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
        )
        try:
            job = workshop.submit("twofold", hook(server), n=1)
            assert came.wait(20)
        finally:
            runner.send_signal(signal.SIGKILL)
            runner.wait()
        (delivery,) = workshop.store.deliveries(job)
        assert (delivery.state, delivery.attempts) == ("pending", 1)
        # Somebody else may have it when its time has come, and dies too; the test does not wait for that.
        with closing(workshop.database()) as database, database.transaction() as tx:
            (claimed,) = tx.all(
                "claim_delivery", runner="another", now=delivery.next_at, again=0.0, busy=("",)
            )
        assert (claimed["id"], claimed["attempts"]) == (delivery.id, 2)
        with workshop.runner(**SETTINGS):
            assert settled(workshop, job).state == "delivered"
