"""Gunicorn's configuration: sizes from the settings, and hooks that open, close and clean up.

    serve ──lifeline──> master ──lifeline──> workers

Whoever is killed takes those to its right along, and the port is free again. Each worker's pool processes
hang on the worker in the same way (service.engine).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any

import gunicorn.http.message

from service import settings as configuration
from service.engine import lifeline
from service.telemetry import logs

settings = configuration.load()

bind = settings.bind
worker_class = "gthread"
workers = settings.web_workers
threads = settings.web_threads
keepalive = 5
graceful_timeout = math.ceil(settings.graceful_timeout)
# It watches over the worker's own loop, not over requests: those have deadlines. The time includes
# importing the task modules.
timeout = 60

# A heartbeat on a real disk stops when the disk does.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - looked at, not written
# It would be at one path per user, and unlinks what another service of that user has there.
control_socket_disable = True

# 1000 times ?item= does not fit into Gunicorn's 8190 bytes, and its only larger limit is none at all.
gunicorn.http.message.MAX_REQUEST_LINE = 32 * 1024
limit_request_line = 32 * 1024
limit_request_fields = 100
limit_request_field_size = 8190

# The application logs its requests, with more than Gunicorn knows about them.
accesslog = None
logconfig_dict = logs.stdlib_config(settings.log_format, settings.log_level)
loglevel = settings.log_level


def on_starting(server: Any) -> None:
    """Make what the workers share; the master hangs on ``serve``, if that started it."""
    settings.runtime_dir.mkdir(parents=True, exist_ok=True)
    # Kept by the server: this file is read again on SIGHUP, this hook is not run again.
    server.workers_lifeline = lifeline.pipe()
    if fd := os.environ.get("EVERYCORE_LIFELINE_FD"):
        server.own_lifeline = lifeline.arm(int(fd))
        # The read end is of no use any more, and must not get lost in workers and their children.
        os.close(int(fd))


def post_fork(server: Any, worker: Any) -> None:
    """Hang the worker on the master: killed, not stopped, for a request in flight would keep the port."""
    with _guarded(worker, "post_fork"):
        read_end, write_end = server.workers_lifeline
        os.close(write_end)
        worker.own_lifeline = lifeline.arm(read_end)


def worker_exit(server: Any, worker: Any) -> None:
    """End what still runs; its requests get their answers, and the worker's threads end."""
    # The master runs this too, for a worker that it finds gone.
    if worker.pid == os.getpid():
        with _guarded(worker, "worker_exit"):
            # A worker that could not load the application has none.
            app = getattr(worker, "wsgi", None)
            if app is not None:
                app.extensions["everycore.engine"].close()


@contextlib.contextmanager
def _guarded(worker: Any, hook: str) -> Iterator[None]:
    """Log what goes wrong in a hook; an exception there would stop the whole server."""
    try:
        yield
    except Exception:
        worker.log.exception("%s failed", hook)
