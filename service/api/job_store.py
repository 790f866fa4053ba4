"""From a request to the store of jobs."""

from __future__ import annotations

import re

from flask import current_app

from service.jobs.model import BatchNotFound, JobNotFound
from service.jobs.store import Store

#: The only form that our ids have.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def store() -> Store:
    """Return the application's store of jobs."""
    found: Store = current_app.extensions["everycore.store"]
    return found


def is_id(text: str) -> bool:
    """Tell whether a text may be an id of a job or a batch."""
    return _ID.fullmatch(text) is not None


def job_id(text: str) -> str:
    """Return the id of a job; raises ``JobNotFound`` for what can be none, so that no database is asked."""
    if not is_id(text):
        raise JobNotFound(text)
    return text


def batch_id(text: str) -> str:
    """Return the id of a batch; raises ``BatchNotFound`` for what can be none."""
    if not is_id(text):
        raise BatchNotFound(text)
    return text
