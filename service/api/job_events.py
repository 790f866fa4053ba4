"""What happens to a job, as server-sent events: its states, its progress and its log, to its end.

Each event's id says how far its reader has come: the number of the latest line, a dot, and the number of the
latest state. With that as ``Last-Event-ID`` another stream goes on where one broke off.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from flask import Blueprint, Request, Response, request

from service.api import calls, job_documents, job_queries, job_waits, problems, requests, results
from service.api.admission import admitted
from service.api.job_store import job_id, store
from service.api.problems import InvalidHeader
from service.api.results import dumps
from service.errors import Abandoned
from service.jobs.model import Job, JobNotFound, StoreUnavailable
from service.jobs.store import Store
from service.jobs.watcher import Watcher

bp = Blueprint("job_events", __name__)

EVENTS = "text/event-stream"
#: Seconds without an event after which a comment is sent, so that whoever is between keeps the connection.
HEARTBEAT = 15.0
#: Lines that are read at once.
LINES = 200
#: Tells a browser to come again after a second, should the stream break off or have lasted long enough.
RETRY = b"retry: 1000\n\n"

_ID = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})", re.ASCII)


class Place(NamedTuple):
    """How far a reader has come."""

    #: Number of the latest line of the log.
    line: int = 0
    #: Number of the latest state.
    version: int = 0


@bp.get("/v1/jobs/<job>/events")
@admitted
def events(job: str) -> Response:
    """Stream what happens to a job until it has ended."""
    job_queries.refuse_any(request)
    place = _place(request)
    found = store().get(job_id(job))
    if (
        found.state.is_final
        and found.version == place.version
        and not store().log(found.id, after=place.line)
    ):
        # It has all been told; a browser asks no more after this.
        return results.nothing()
    trace, places = requests.trace(), job_waits.places()
    stream = EventStream(store(), job_waits.watcher(), found.id, place)
    # The worker gives up connections that take longer.
    until = trace.begun + requests.settings().request_timeout_max
    response = Response(stream.pieces(until, calls.hangup_fd()), content_type=EVENTS)
    places.take()
    # Not in the generator: one that has not begun ends without a word.
    response.call_on_close(places.release)
    trace.streamed = True
    return response


def _place(request: Request) -> Place:
    """Read ``Last-Event-ID``; raises ``InvalidHeader``."""
    given = request.headers.get("Last-Event-ID", "")
    match = _ID.fullmatch(given)
    if given and not match:
        raise InvalidHeader("Last-Event-ID must be the id of an event that was sent here, such as 12.3")
    return Place(*map(int, match.groups())) if match else Place()


class EventStream:
    """The events of one job for one reader."""

    def __init__(
        self, store: Store, watcher: Watcher, job: str, place: Place, *, heartbeat: float = HEARTBEAT
    ) -> None:
        """Begin behind ``place``."""
        self._store = store
        self._watcher = watcher
        self._job = job
        self._place = place
        self._progress: dict[str, Any] | None = None
        self._ended = False
        self._heartbeat = heartbeat

    def pieces(self, until: float, hangup_fd: int | None) -> Generator[bytes, None, None]:
        """Yield events until the job has ended, at the longest to the ``time.monotonic()`` time ``until``."""
        yield RETRY  # and with it the header, though there may be no news
        sent = time.monotonic()
        try:
            with self._watcher.waiter(hangup_fd) as waiter:
                for _ in waiter.looks(until):
                    for piece in self._news():
                        yield piece
                        sent = time.monotonic()
                    if self._ended:
                        return
                    if time.monotonic() - sent >= self._heartbeat:
                        yield b":\n\n"
                        sent = time.monotonic()
        except Abandoned:
            return
        except JobNotFound as error:  # it has been deleted
            yield self._event("error", problems.describe(error).document())

    def _news(self) -> Iterator[bytes]:
        """Yield what the reader does not know."""
        try:
            job = self._store.get(self._job)
            self._ended = job.state.is_final
            if not self._ended:
                yield from self._state(job)
            # The end of a job comes after all of its lines.
            yield from self._lines()
        except StoreUnavailable:
            # A browser would not come again after an error, and the store may be back at the next look.
            self._ended = False
            return
        if job.progress is not None and job.progress != self._progress:
            yield self._event("progress", job.progress)
        self._progress = job.progress
        yield from self._state(job)

    def _state(self, job: Job) -> Iterator[bytes]:
        if job.version != self._place.version:
            self._place = self._place._replace(version=job.version)
            yield self._event("state", job_documents.of_job(job))

    def _lines(self) -> Iterator[bytes]:
        while lines := self._store.log(self._job, after=self._place.line, limit=LINES):
            events = []
            for line in lines:
                self._place = self._place._replace(line=line.seq)
                events.append(self._event("log", job_documents.of_line(line)))
            yield b"".join(events)

    def _event(self, kind: str, value: Any) -> bytes:
        # JSON of one line: a line break in text is escaped.
        place = b"%d.%d" % self._place
        return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), place, dumps(value))
