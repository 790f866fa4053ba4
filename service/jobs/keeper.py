"""The keeper: the thread of a runner that sees to everything but running jobs.

It renews the lease of its runner, takes over from runners that are gone, makes jobs ready whose time has
come, lets others expire, begins periods and removes what is old. Whatever jobs do, they run in other
processes, so they can't hold it up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from service.engine.problems import document_of
from service.errors import RunnerLost
from service.jobs import account
from service.jobs.arguments import JSON
from service.jobs.claims import Claims, Expelled, Line, Settlement, settle, write_lines
from service.jobs.database import CHANGES, WORK, Database, Row, Transaction
from service.jobs.finishing import note_ends
from service.jobs.model import Job, NewJob, Payload, State, StoreUnavailable
from service.jobs.news import News
from service.jobs.retries import judge
from service.jobs.store import Store
from service.jobs.submission import add
from service.jobs.terms import terms_of
from service.jobs.watch import Watch
from service.settings import Settings
from service.tasks import registry
from service.tasks.options import JobOptions
from service.telemetry.logs import get_logger
from service.telemetry.metrics import jobs as metrics

_log = get_logger()

#: Most seconds between two looks.
TICK = 1.0
#: Beats in the length of a lease, and at least so many looks.
BEATS = 5
#: Part of a lease after which a runner that can't renew it stops its jobs, so that no job runs twice at once.
SAFE = 0.8
#: Rows that are changed in one transaction.
PIECE = 500
#: Seconds that the last look may take; the database may give no answer at all.
LAST_LOOK = 5.0
#: Seconds between two looks for what is old.
PURGE_SECONDS = 30.0
#: Seconds of it after which other things have their turn.
PURGE_TURN = 0.5


class Keeper:
    """Runs until it is closed; the runner asks it whether the lease is held."""

    def __init__(self, database: Database, claims: Claims, news: News, settings: Settings) -> None:
        """Start nothing yet; ``claims`` are those of the runner that is told by ``news``."""
        self._database = database
        self._claims = claims
        self._news = news
        self._lease = settings.job_lease
        self._tick = min(TICK, settings.job_lease / BEATS)
        self._ttl = settings.job_ttl
        self._watch = Watch(settings.job_lease)
        self._closed = threading.Event()
        self._prod = threading.Event()
        self._purge_at = time.monotonic()
        self._next_due: float | None = None
        self._was_away = False
        self._expelled: str | None = None
        self._thread = threading.Thread(target=self._keep, name="job-keeper", daemon=True)

    def start(self) -> None:
        """Begin; the runner has just registered."""
        self._thread.start()

    def note_expelled(self, runner: str) -> None:
        """Note that others took the runner of that id for dead."""
        self._expelled = runner

    @property
    def expelled(self) -> bool:
        """Whether others took the runner for dead, and it has not registered anew."""
        return self._expelled == self._claims.runner

    @property
    def may_be_lost(self) -> bool:
        """Whether the lease was not renewed for so long that the jobs had better be stopped."""
        return time.monotonic() - self._claims.renewed_at > SAFE * self._lease

    @property
    def trouble(self) -> str | None:
        """Why the runner has no lease, or may have none any more; ``None`` while it has."""
        if not self._claims.runner:
            return "it has not reached the store of jobs yet"
        if self.expelled:
            return "it was taken for dead, and has no lease"
        if self.may_be_lost:
            return "it could not renew its lease; the store of jobs may be away"
        return None

    def look_soon(self) -> None:
        """Look now: there may be a job for a time before the next look."""
        self._prod.set()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._prod.set()
        self._thread.join(LAST_LOOK)

    def _keep(self) -> None:
        while not self._closed.is_set():
            runner = self._claims.runner
            try:
                self._look()
                self._was_away = False
            except Expelled:
                # It may be a new runner by now, which is not meant.
                self.note_expelled(runner)
                self._news.wake()
            except StoreUnavailable as error:
                if not self._was_away:
                    _log.error("the store can't be used", error=error.reason)
                self._was_away = True
                self._news.wake()
            except Exception:  # noqa: BLE001 - without it the lease would be lost
                _log.exception("the keeper failed")
            self._prod.wait(self._pause())
            self._prod.clear()

    def _pause(self) -> float:
        if self._next_due is None:
            return self._tick
        return min(self._tick, max(0.005, self._next_due - time.time()))

    def _look(self) -> None:
        now = time.time()
        if time.monotonic() - self._claims.renewed_at >= self._lease / BEATS and not self.expelled:
            self._claims.beat()
        with self._database.reading() as tx:
            runners = {row["id"]: row for row in tx.all("runners")}
            self._next_due = tx.all("next_due")[0]["run_at"]
            expires = tx.all("next_expiry")[0]["expires_at"]
            schedules = {row["task"]: row for row in tx.all("schedules")}
        beats = {name: row["beat"] for name, row in runners.items() if name != self._claims.runner}
        for runner, beat in self._watch.gone(beats, time.monotonic()).items():
            self._take_over(runners[runner], beat)
        if self._next_due is not None and self._next_due <= now:
            self._make_ready(now)
        if expires is not None and expires <= now:
            self._expire(now)
        self._begin_periods(schedules, now)
        self._purge(now)

    def _make_ready(self, now: float) -> None:
        with self._database.transaction() as tx:
            tx.all("make_ready", now=now, limit=PIECE)
            self._next_due = tx.all("next_due")[0]["run_at"]
            tx.ring(WORK)

    def _expire(self, now: float) -> None:
        with self._database.transaction() as tx:
            expired = tx.all("expire", now=now, limit=PIECE)
            note_ends(tx, expired)
            tx.ring(CHANGES)
        metrics.finished((row["task"], State.EXPIRED.value) for row in expired)

    # Runners that are gone

    def _take_over(self, runner: Row, beat: int) -> None:
        """Remove a runner, unless it has moved; its jobs are tried again, or have crashed too often."""
        now = time.time()
        with self._database.transaction() as tx:
            if not tx.all("expel", runner=runner["id"], beat=beat):
                return
            jobs = [Job.of(row) for row in tx.all("jobs_of_runner", runner=runner["id"])]
            settlements = [_lost(job, runner["pid"]) for job in jobs]
            write_lines(tx, _lines(tx, settlements, now), runner["id"])
            states = [settle(tx, settlement, runner["id"], now) for settlement in settlements]
            tx.all("release_deliveries", runner=runner["id"], now=now)
            tx.ring(CHANGES)
            tx.ring(WORK)
        _log.warning("a runner is gone", runner=runner["id"], host=runner["host"], jobs=len(jobs))
        account.tell_of_lost(zip(settlements, states, strict=True))

    # Periods

    def _begin_periods(self, known: dict[str, Row], now: float) -> None:
        """Make a job for each periodic task whose period has begun; what was missed is made up for once."""
        for task in registry.all_tasks():
            if task.schedule is None:
                continue
            schedule, period = repr(task.schedule), task.schedule.period(now)
            row = known.get(task.name)
            if row is None or row["schedule"] != schedule or row["period"] > task.schedule.next(now):
                # It begins with the next period; or the clock was far ahead once.
                with self._database.transaction() as tx:
                    tx.all("add_schedule", task=task.name, schedule=schedule, period=period)
                    tx.all("change_schedule", task=task.name, schedule=schedule, period=period)
            elif row["period"] < period:
                with self._database.transaction() as tx:
                    if tx.all("begin_period", task=task.name, schedule=schedule, period=period):
                        add(tx, [NewJob(task.name, Payload(JSON, b"{}"), **terms_of(task))], now)
                        tx.ring(WORK)

    # What is old

    def _purge(self, now: float) -> None:
        if not self._ttl or time.monotonic() < self._purge_at:
            return
        store, until = Store(self._database), time.monotonic() + PURGE_TURN
        while time.monotonic() < until:
            if not store.purge(now - self._ttl):
                self._purge_at = time.monotonic() + PURGE_SECONDS
                return


def _lost(job: Job, pid: int) -> Settlement:
    error = RunnerLost(pid)
    verdict = judge(job, error, JobOptions())
    return Settlement(
        job,
        verdict.state,
        run_at=verdict.run_at,
        crashed=verdict.crashed,
        error=document_of(error),
        progress=job.progress if verdict.state is State.FAILED else None,
    )


def _lines(tx: Transaction, settlements: Sequence[Settlement], now: float) -> list[Line]:
    if not settlements:
        return []
    jobs = [settlement.job for settlement in settlements]
    ends = {row["job"]: row["seq"] for row in tx.all("log_ends", jobs=tuple(job.id for job in jobs))}
    text = "attempt {} ended: the runner that had it was lost"
    return [
        Line(job.id, job.attempts, ends.get(job.id, 0) + 1, now, "system", text.format(job.attempts))
        for job in jobs
    ]
