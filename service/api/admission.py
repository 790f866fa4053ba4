"""How many requests a worker works on at a time: one for each of SERVICE_WEB_THREADS.

What comes beyond is refused at once, by one of the few threads that are spare (service.api.worker): a
request that waited for a thread would be seen by nobody, deadlines and health checks among them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec

from flask import Flask, Response, after_this_request, current_app

from service.api import calls
from service.api.problems import WorkerFull
from service.settings import Settings

P = ParamSpec("P")


def install(app: Flask, settings: Settings) -> None:
    """Make the places."""
    app.extensions["everycore.places"] = threading.BoundedSemaphore(settings.web_threads)


def admitted(view: Callable[P, Response]) -> Callable[P, Response]:
    """Let a view work only while there is a place for it, which it has until its answer is sent."""

    @functools.wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        places: threading.BoundedSemaphore = current_app.extensions["everycore.places"]
        if not places.acquire(blocking=False):
            raise WorkerFull(calls.engine().backlog)

        @after_this_request
        def give_back(response: Response) -> Response:
            # A streamed answer is still computed after its view has returned.
            response.call_on_close(places.release)
            return response

        return view(*args, **kwargs)

    return guarded
