"""The runner: claims jobs, has them run in lanes, and writes down how they end.

    bell ─────┐                   ┌─> lane ──> engine
    news ─────┼─> one thread ─────┼─> lane ──> engine
    signals ──┘    │              └─> …
                   └─ steps: claims and settlements share transactions (a group commit)

It claims only when a lane and a CPU slot are free. While it waits it does nothing at all.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence

from service.engine.base import Engine
from service.engine.problems import document_of
from service.engine.slots import RESCAN
from service.errors import EverycoreError
from service.jobs import account
from service.jobs.account import named
from service.jobs.claims import Claims, Expelled, Settlement, Step
from service.jobs.database import WORK, Database, Listener
from service.jobs.keeper import Keeper
from service.jobs.lane import Idle, Ran
from service.jobs.lanes import Lanes
from service.jobs.model import State, StoreUnavailable
from service.jobs.news import News
from service.jobs.outage import Outages
from service.jobs.pending import Pending
from service.jobs.postman import Postman
from service.settings import Settings
from service.tasks.contract import Contract
from service.telemetry.logs import get_logger
from service.telemetry.tracing import Tracer

_log = get_logger()

#: Seconds after which a runner looks for work although nobody called.
LOOK_SECONDS = 5.0
#: The same once after a step in which there was work: other runners may have had their hands on more of it.
LOOK_AGAIN_SECONDS = 0.25
#: The same while no bell can be heard.
LOOK_SECONDS_DEAF = 0.5
#: Least seconds between two looks for jobs to cancel.
CANCEL_SECONDS = 0.02
#: Seconds between two attempts to reach the store.
AWAY_SECONDS = 0.25
#: Seconds that a stop waits for a store that is away, to write down what has ended.
LAST_CHANCE = 3.0


class Runner:
    """Runs jobs until it is told to stop; everything here happens in one thread."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        contracts: Mapping[str, Contract],
        settings: Settings,
        tracer: Tracer | None = None,
    ) -> None:
        """Start nothing yet but the lanes, which wait. With a ``tracer`` each attempt is a span."""
        self._settings = settings
        self._database = database
        self._news = News()
        self._lanes = Lanes(engine, contracts, settings, self._news, tracer)
        self._claims = Claims(database, sorted(contracts))
        self._keeper = Keeper(database, self._claims, self._news, settings)
        self._postman = Postman(database, self._claims, settings, tracer)
        self._pending = Pending()
        self._listener: Listener | None = None
        # Whether the bell has rung since the last step.
        self._rung = False
        # Whether a step failed in a way that leaves open what came of it.
        self._in_doubt = False
        # Whether there was work, or a call for it, in the last step.
        self._had_work = False
        self._looked = 0.0
        self._away_until = 0.0
        self._outages = Outages()
        self._stop_at: float | None = None

    # From any thread, and from signal handlers

    def stop(self, *, quickly: bool = False) -> None:
        """Claim no more, give running jobs some time, and return from ``run``."""
        at = time.monotonic() + (0.0 if quickly else self._settings.job_grace)
        self._stop_at = at if self._stop_at is None else min(at, self._stop_at)
        self._news.wake()

    def mind_lease(self) -> None:
        """Stop what runs when it may be somebody else's by now.

        Somebody has to see to it who never waits for the database, which may give no answer at all.
        """
        if self._keeper.may_be_lost:
            self._lanes.stop("the runner could not renew its lease")

    @property
    def trouble(self) -> str | None:
        """Why it has no lease now, or may have none any more; ``None`` while it has."""
        return self._keeper.trouble

    # The one thread

    def run(self) -> None:
        """Run jobs until stopped."""
        while not self._register():
            if self._stop_at is not None:
                return
            time.sleep(AWAY_SECONDS)
        _log.info("runner started", runner=self._claims.runner, pid=os.getpid())
        self._keeper.start()
        self._postman.start()
        try:
            while not self._is_done():
                self._wait()
                self._collect()
                self._see_to_lease()
                if self._next_look() <= time.monotonic():
                    self._step()
        finally:
            self._end()

    def _register(self) -> bool:
        try:
            self._claims.register()
        except StoreUnavailable as error:
            self._outages.note(error)
            return False
        return True

    def _is_done(self) -> bool:
        if self._stop_at is None:
            return False
        now = time.monotonic()
        if now >= self._stop_at:
            self._lanes.stop("the runner was stopped")
        if self._lanes.busy():
            return False
        return not self._pending.settlements or now >= self._stop_at + LAST_CHANCE

    def _end(self) -> None:
        # As a rule nothing runs any more. What is given back may be started elsewhere at once.
        self._lanes.stop("the runner ended")
        until = time.monotonic() + LAST_CHANCE
        while self._lanes.busy() and time.monotonic() < until:
            time.sleep(RESCAN)
            self._collect()
        self._keeper.close()
        self._postman.close()
        try:
            self._claims.leave()
        except StoreUnavailable as error:
            # Others will find that it does not renew its lease.
            _log.error("the runner could not sign off", error=error.reason)
        if self._listener is not None:
            self._listener.close()
        self._lanes.close()
        _log.info("runner stopped", runner=self._claims.runner, pid=os.getpid())

    # Waiting

    def _wait(self) -> None:
        self._listen()
        poll = select.poll()
        poll.register(self._news, select.POLLIN)
        if self._listener is not None:
            poll.register(self._listener, select.POLLIN)
        for fd, _ in poll.poll(max(0.0, self._next_look() - time.monotonic()) * 1000):
            if fd != self._news.fileno():
                self._hear()

    def _listen(self) -> None:
        if self._listener is None and time.monotonic() >= self._away_until:
            try:
                self._listener = self._database.listen(WORK)
            except StoreUnavailable:
                self._away_until = time.monotonic() + AWAY_SECONDS
            else:
                self._has_rung()  # it may have while nobody listened

    def _hear(self) -> None:
        assert self._listener is not None
        try:
            self._listener.hear()
        except StoreUnavailable:
            self._listener.close()
            self._listener = None
        self._has_rung()

    def _has_rung(self) -> None:
        self._rung = True
        self._lanes.expect_work()
        self._keeper.look_soon()
        self._postman.look_soon()

    def _next_look(self) -> float:
        """Return when to do a step, or to see whether it is time for one, should nothing be heard."""
        now = time.monotonic()
        look = min(self._looked + self._look_seconds(), self._pending.due)
        if self._rung:
            look = min(look, self._looked + CANCEL_SECONDS)
        if self._stop_at is not None:
            return max(self._away_until, min(look, max(self._stop_at, now + RESCAN)))
        if self._lanes.wanted():
            look = now
        elif self._lanes.lack_slots:
            look = min(look, now + RESCAN)
        return max(look, self._away_until)

    def _look_seconds(self) -> float:
        if self._had_work:
            return LOOK_AGAIN_SECONDS
        return LOOK_SECONDS if self._listener is not None else LOOK_SECONDS_DEAF

    # Hearing from the lanes

    def _collect(self) -> None:
        for item in self._news.take():
            if isinstance(item, Ran):
                self._lanes.learn(item.task, item.seconds)
            elif isinstance(item, Idle):
                self._lanes.free(item.lane)
            else:
                self._pending.add(item)

    def _see_to_lease(self) -> None:
        if self._keeper.expelled:
            if time.monotonic() < self._away_until:
                return
            _log.error("this runner was taken for dead; its jobs are stopped", runner=self._claims.runner)
            self._lanes.stop("the runner was taken for dead")
            if not self._register():
                self._away_until = time.monotonic() + AWAY_SECONDS
        else:
            self.mind_lease()

    # Steps

    def _step(self) -> None:
        if time.monotonic() >= self._looked + self._look_seconds():
            self._lanes.expect_work()
        looked = time.monotonic()
        wanted = self._lanes.wanted() if self._stop_at is None else {}
        try:
            done = self._claims.step(self._planned(wanted))
        except Expelled:
            # What has ended is refused when there is a new id: it will be known that it was late.
            self._keeper.note_expelled(self._claims.runner)
            return
        except StoreUnavailable as error:
            # What has ended is kept, and written when the store is back.
            self._outages.note(error)
            self._in_doubt = True
            self._away_until = time.monotonic() + AWAY_SECONDS
            return
        except Exception:  # noqa: BLE001 - what one job has brought about must not stop the others
            _log.exception("a step failed")
            self._in_doubt = True
            settlements, self._pending = self._pending.settlements, Pending()
            for settlement in settlements:
                if not self._settle_alone(settlement):
                    self._pending.add(settlement)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return
        self._had_work = self._rung or bool(done.claimed)
        self._looked, self._rung, self._in_doubt = looked, False, False
        self._written(self._pending.settlements)
        for cpu in wanted:
            claims = [claim for claim in done.claimed if claim.job.cpu == cpu]
            self._lanes.fill(cpu, claims, exhausted=cpu in done.exhausted)
        self._lanes.cancel(done.cancels)
        # Last, for the lanes have work by now.
        account.tell(done)

    def _settle_alone(self, settlement: Settlement) -> bool:
        """Write how one attempt ended, or that this can't be written; return whether that is done."""
        failed = Settlement(settlement.job, State.FAILED, failed=1, error=document_of(EverycoreError()))
        for attempt in (settlement, failed):
            try:
                account.tell(self._claims.step(Step(settlements=[attempt])))
            except (Expelled, StoreUnavailable):
                return False
            except Exception:  # noqa: BLE001 - as above
                _log.exception("a settlement can't be written", **named(settlement.job))
            else:
                return True
        return False

    def _planned(self, wanted: Mapping[int, int]) -> Step:
        held = None
        if self._in_doubt:
            # A claim may have been committed though the answer was lost: such a job would run nowhere.
            held = {*self._lanes.jobs(), *(settlement.job.id for settlement in self._pending.settlements)}
        return Step(
            lines=self._pending.lines,
            progress=self._pending.progress,
            settlements=self._pending.settlements,
            wants={cpu: self._lanes.want(cpu, lanes) for cpu, lanes in wanted.items()},
            held=held,
        )

    def _written(self, settlements: Sequence[Settlement]) -> None:
        if any(settlement.run_at is not None for settlement in settlements):
            self._keeper.look_soon()
        if any(settlement.job.webhook is not None for settlement in settlements):
            self._postman.look_soon()
        self._pending = Pending()
