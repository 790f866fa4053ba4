"""Jobs as they stand in the table, for tests that have none."""

from typing import Any

from service.jobs.model import Job, State


def made(**given: Any) -> Job:
    """Return a job that runs, and differs from a plain one in what is given."""
    plain: dict[str, Any] = dict.fromkeys(Job.__slots__) | {
        "id": "01a222a0-c718-7000-8000-41c13e497268",
        "task": "add",
        "state": State.RUNNING,
        "request_id": "",
        "attempts": 1,
        "run_at": 100.0,
        "started_at": 100.5,
    }
    return Job(**(plain | given))
