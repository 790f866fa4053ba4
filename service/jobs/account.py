"""What a runner tells of each step once it is on the disk: counts, and a line of the log for each attempt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from service.jobs.claims import Claim, Done, Settlement
from service.jobs.model import Job, State
from service.telemetry.logs import get_logger, info_each
from service.telemetry.metrics import jobs as metrics
from service.telemetry.metrics.jobs import End
from service.telemetry.tracing import trace_id

_log = get_logger()


def tell(done: Done) -> None:
    """Tell of attempts that ended, then of those that were claimed."""
    if done.settled:
        _tell_of_ends([(settlement, settlement.outcome, state) for settlement, state in done.settled])
    if done.refused:
        metrics.refused(len(done.refused))
        for settlement in done.refused:
            _log.warning("a late result was refused", **named(settlement.job), outcome=settlement.outcome)
    if done.claimed:
        # The time of day, which the store has, may have been set back meanwhile.
        metrics.started((claim.job.task, _lag(claim)) for claim in done.claimed if claim.job.attempts == 1)
        info_each("attempt started", (named(claim.job) for claim in done.claimed))


def tell_of_lost(taken: Iterable[tuple[Settlement, State | None]]) -> None:
    """Tell of attempts that were taken from a runner which lost its lease, each with its job's state now."""
    ends = [(settlement, "runner-lost", state) for settlement, state in taken if state is not None]
    metrics.leases_lost(len(ends))
    _tell_of_ends(ends)


def named(job: Job) -> dict[str, Any]:
    """Return what a line of the log says of an attempt; a periodic task was asked for by no request."""
    request = {"request_id": job.request_id} if job.request_id else {}
    trace = {"trace_id": trace_id(job.trace)} if job.trace else {}
    return {"job": job.id, "task": job.task, "attempt": job.attempts, **request, **trace}


def _tell_of_ends(ends: Sequence[tuple[Settlement, str, State]]) -> None:
    metrics.ended(
        End(found.job.task, outcome, state.value if state.is_final else None, found.run_seconds)
        for found, outcome, state in ends
    )
    info_each("attempt ended", (_end(*end) for end in ends))


def _end(settlement: Settlement, outcome: str, state: State) -> dict[str, Any]:
    ran = {} if settlement.run_seconds is None else {"seconds": round(settlement.run_seconds, 6)}
    return {**named(settlement.job), "outcome": outcome, "state": state.value, **ran}


def _lag(claim: Claim) -> float:
    job = claim.job
    return 0.0 if job.started_at is None else job.started_at - job.run_at
