"""Delivers the messages to webhooks, in threads of a runner that run no jobs.

job ends ─> delivery (in the same transaction) ─> claimed ─> POST ─┬─ 2xx: delivered
                                                  ^                └─ else: again, later, or failed
                                                  └── its runner died: again when another runner takes over

A message may arrive more than once, and two of one job in any order: each has an id, and says the state.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from typing import Any

from service.jobs.arguments import JSON
from service.jobs.claims import Claims
from service.jobs.database import Database, Row
from service.jobs.model import Job, JobNotFound, StoreUnavailable
from service.jobs.store import Store
from service.jobs.times import rfc3339
from service.jobs.webhooks.allowed import parse_allowed
from service.jobs.webhooks.send import Refused, Undelivered, post
from service.jobs.webhooks.signature import sign
from service.settings import Settings
from service.tasks.strict_json import dumps, with_encoded
from service.telemetry.logs import get_logger
from service.telemetry.metrics import jobs as metrics
from service.telemetry.tracing import Span, Tracer, Value, trace_id

_log = get_logger()

#: Seconds before the second attempt; each further one waits three times as long: about ten hours in all.
FIRST_DELAY = 5.0
MAX_ATTEMPTS = 10
#: From here on a status tells of a failure.
_FAILED = 400
#: Status by which a receiver says that it wants no more of this: 410 Gone.
GONE = 410
#: Seconds that one attempt may take, and after which a delivery is claimed again whatever became of it.
TIMEOUT = 10.0
CLAIM_SECONDS = 30.0
#: Messages that are on their way at once.
AT_ONCE = 4
#: The same, to one host: one that does not answer shall not hold up the others' messages.
AT_ONCE_TO_ONE = 2
#: Most seconds between two looks.
TICK = 5.0
#: The same while as many are on their way as may be.
TICK_WHEN_FULL = 0.5
#: What the metrics call an attempt by the state that it leaves a delivery in.
_OUTCOMES = {"delivered": "delivered", "pending": "retried", "failed": "given-up"}
#: Largest result that a message carries along, in bytes.
MAX_RESULT = 64 * 1024


class Postman:
    """Runs until it is closed."""

    def __init__(
        self, database: Database, claims: Claims, settings: Settings, tracer: Tracer | None = None
    ) -> None:
        """Start nothing yet; ``claims`` are those of the runner. Without a secret every delivery fails."""
        self._database = database
        self._store = Store(database)
        self._claims = claims
        self._tracer = tracer
        secret = settings.webhook_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._allowed = parse_allowed(settings.webhook_allow)
        self._closed = threading.Event()
        self._prod = threading.Event()
        self._under_way: dict[threading.Thread, str] = {}
        self._thread = threading.Thread(target=self._serve, name="job-postman", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look_soon(self) -> None:
        """Look now: a job has ended."""
        self._prod.set()

    def close(self) -> None:
        """End; what is on its way is left to another runner, should it not arrive."""
        self._closed.set()
        self._prod.set()
        self._thread.join(TICK)

    def _serve(self) -> None:
        while not self._closed.is_set():
            pause = TICK
            try:
                pause = self._deliver()
            except StoreUnavailable:
                pass  # the keeper says so
            except Exception:  # noqa: BLE001 - other messages have to go out all the same
                _log.exception("the postman failed")
            self._prod.wait(pause)
            self._prod.clear()

    def _deliver(self) -> float:
        """Send what is due; return how many seconds there are to the next."""
        self._under_way = {thread: host for thread, host in self._under_way.items() if thread.is_alive()}
        now = time.time()
        if len(self._under_way) >= AT_ONCE:
            return TICK_WHEN_FULL
        busy = self._busy_hosts()
        with self._database.reading() as tx:
            due = tx.all("next_delivery", busy=busy)[0]["next_at"]
        if due is None or due > now:
            return TICK if due is None else min(TICK, due - now)
        with self._database.transaction() as tx:
            again = now + CLAIM_SECONDS
            claimed = tx.all("claim_delivery", runner=self._claims.runner, now=now, again=again, busy=busy)
        for row in claimed:
            thread = threading.Thread(target=self._attempt, args=[row], name="webhook", daemon=True)
            self._under_way[thread] = row["host"]
            thread.start()
        return 0.0

    def _busy_hosts(self) -> tuple[str, ...]:
        """Return the hosts to which as many messages are on their way as may be, and one that is none."""
        hosts = Counter(self._under_way.values())
        return ("", *(host for host, number in hosts.items() if number >= AT_ONCE_TO_ONE))

    def _attempt(self, row: Row) -> None:
        try:
            self._try(row)
        except StoreUnavailable:
            pass  # it is claimed again in its time
        except Exception:  # noqa: BLE001 - as above
            _log.exception("a webhook could not be sent", **_named(row))
            self._settle_as_broken(row)
        self._prod.set()

    def _try(self, row: Row) -> None:
        status, error, is_worth_another = None, None, True
        try:
            status = self._send(row)
            if not 200 <= status < 300:  # noqa: PLR2004 - the statuses of success
                error, is_worth_another = f"the answer was {status}", status != GONE
        except Undelivered as undelivered:
            error, is_worth_another = undelivered.reason, not isinstance(undelivered, Refused)
        except JobNotFound:
            return  # deleted, and this delivery with it
        self._settle(row, status, error, is_last=row["attempts"] >= MAX_ATTEMPTS or not is_worth_another)

    def _settle_as_broken(self, row: Row) -> None:
        try:
            self._settle(row, None, "the message could not be made; the log has more", is_last=True)
        except StoreUnavailable:
            pass  # as for any other

    def _send(self, row: Row) -> int:
        if self._secret is None:
            raise Undelivered("SERVICE_WEBHOOK_SECRET is not set where the runner runs")
        body = self._body(row)
        headers = sign(self._secret, row["id"], int(time.time()), body) | {"Content-Type": JSON}
        span = None if self._tracer is None else _span(self._tracer, row)
        if span is not None:
            headers |= span.context
        status, error = 0, ""
        try:
            status = post(row["url"], body, headers, allowed=self._allowed, timeout=TIMEOUT)
            error = "" if status < _FAILED else str(status)
        except Undelivered as undelivered:
            error = type(undelivered.__cause__ or undelivered).__name__
            raise
        finally:
            if span is not None:
                answer = {"http.response.status_code": status} if status else {}
                span.end(error=error, details={**answer, **({"error.type": error} if error else {})})
        return status

    def _body(self, row: Row) -> bytes:
        job = self._store.get(row["job"])
        state = row["event"].removeprefix("job.")
        data = {
            "id": job.id,
            "href": f"/v1/jobs/{job.id}",
            "task": job.task,
            "state": state,
            "created_at": rfc3339(job.created_at),
        }
        result = None
        if job.state == state:
            # Or somebody had it tried again since, and these tell of another attempt.
            facts = {"attempts": job.attempts, "error": job.error, "finished_at": rfc3339(job.finished_at)}
            data |= facts
            result = self._result(job)
        encoded = dumps(data) if result is None else with_encoded(dumps(data), "result", result)
        message = {"type": row["event"], "timestamp": rfc3339(row["created_at"])}
        return with_encoded(dumps(message), "data", encoded)

    def _result(self, job: Job) -> bytes | None:
        result = self._store.result(job.id)
        if result is None or result.media_type != JSON or len(result.content) > MAX_RESULT:
            return None
        return result.content

    def _settle(self, row: Row, status: int | None, error: str | None, *, is_last: bool) -> None:
        now = time.time()
        state, next_at = "delivered", now
        if error is not None:
            state = "failed" if is_last else "pending"
            delay = FIRST_DELAY * 3.0 ** (row["attempts"] - 1)
            next_at = now + delay * random.uniform(0.5, 1)  # noqa: S311 - nothing secret hangs on it
            _log.warning("a webhook was not delivered", **_named(row), attempt=row["attempts"], error=error)
        with self._database.transaction() as tx:
            written = tx.all(
                "settle_delivery",
                id=row["id"],
                runner=row["runner"],
                attempt=row["attempts"],
                state=state,
                next_at=next_at,
                status=status,
                error=error,
                finished_at=None if state == "pending" else now,
            )
        if written:
            metrics.delivery_tried(_OUTCOMES[state])


def _span(tracer: Tracer, row: Row) -> Span:
    above = None if row["trace"] is None else json.loads(row["trace"])
    details: dict[str, Value] = {
        "http.request.method": "POST",
        "server.address": row["host"],
        "everycore.job.id": row["job"],
    }
    return tracer.begin("POST", "client", above, details=details)


def _named(row: Row) -> dict[str, Any]:
    request = {"request_id": row["request_id"]} if row["request_id"] else {}
    trace = {"trace_id": trace_id(json.loads(row["trace"]))} if row["trace"] else {}
    return {"job": row["job"], **request, **trace}
