"""The newest jobs that fit, found by an index whichever filters are given.

Jobs of one state stand in the indexes in the order of their ids. Where several states are wanted, the newest
of each are found by themselves, and the newest of these are the answer; so nothing has to be sorted or passed
over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.jobs.database import Row, Transaction
from service.jobs.model import State


def newest(
    tx: Transaction,
    *,
    states: Sequence[State],
    task: str | None,
    batch: str | None,
    since: str | None,
    before: str,
    limit: int,
) -> Sequence[Row]:
    """Return up to ``limit`` jobs with ids from ``since`` and before ``before``, newest first."""
    given: dict[str, Any] = {"task": task, "batch": batch, "since": since}
    given = {name: value for name, value in given.items() if value is not None}
    conditions = _conditions(set(given))
    given |= {"before": before, "limit": limit}
    if not states and (task is not None or batch is not None):
        states = tuple(State)
    if len(states) > 1:
        parts = " UNION ALL ".join(_part(state, conditions) for state in dict.fromkeys(states))
        return tx.all("list_jobs_of_states", filters=parts, **given)
    return tx.all("list_jobs", filters=" ".join(map(_of_state, states)) + conditions, **given)


def _conditions(given: set[str]) -> str:
    conditions = {
        # A batch has 10 000 jobs at most, so the index of the task is made unfit there.
        "task": "AND task || '' = :task" if "batch" in given else "AND task = :task",
        "batch": "AND batch = :batch",
        "since": "AND id >= :since",
    }
    return "".join(f" {condition}" for name, condition in conditions.items() if name in given)


def _of_state(state: State) -> str:
    return f"AND state = '{State(state)}'"


def _part(state: State, conditions: str) -> str:
    of_state = f"id < :before {_of_state(state)}{conditions}"
    return f"SELECT id FROM (SELECT id FROM jobs WHERE {of_state} ORDER BY id DESC LIMIT :limit) AS {state}"  # noqa: S608 - nothing in it comes from a client
