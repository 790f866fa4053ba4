"""Gunicorn's configuration: sizes from the settings, and hooks that open, close and clean up.

    serve ──lifeline──> master ──lifeline──> workers

Whoever is killed takes those to its right along, and the port is free again. Each worker's pool processes
hang on the worker in the same way (service.engine).
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import gunicorn.http.message
from gunicorn.errors import HaltServer

from service import children
from service import settings as configuration
from service.api.generations import Generations
from service.api.worker import SPARE_THREADS
from service.engine import lifeline, spawner
from service.telemetry import logs
from service.telemetry.metrics.directory import Folder

settings = configuration.load()

bind = settings.bind
worker_class = "service.api.worker.Worker"
workers = settings.web_workers
threads = settings.web_threads + SPARE_THREADS
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
# A header of the client's, such as SCRIPT_NAME, must not become a variable of ours.
forwarder_headers = ""
limit_request_field_size = 8190

# The application logs its requests, with more than Gunicorn knows about them.
accesslog = None
logger_class = "service.api.server.Log"
logconfig_dict = logs.stdlib_config(settings.log_format, settings.log_level)
loglevel = settings.log_level

# The tasks are imported here too, and with them NumPy, which would start a thread for every CPU.
for variable in spawner.ONE_THREAD:
    os.environ.setdefault(variable, "1")

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def on_starting(server: Any) -> None:
    """Make what the workers share; the master hangs on ``serve``, if that started it."""
    children.take_all_descriptors()
    settings.runtime_dir.mkdir(parents=True, exist_ok=True)
    # Kept by the server: this file is read again on SIGHUP, this hook is not run again.
    server.workers_lifeline = lifeline.pipe()
    server.generations = Generations()
    # ``serve`` has made a folder for the metrics of all that it starts.
    server.metrics = None if children.is_of_serve() else Folder(settings.runtime_dir)
    if server.metrics is not None:
        server.metrics.share()
    children.hang_on_parent()
    server.reap_workers = _halting_once(server)
    os.register_at_fork(
        before=_block_stops, after_in_parent=_unblock_stops, after_in_child=_end_at_a_stop(os.getpid())
    )


def _halting_once(server: Any) -> Callable[[], None]:
    """Return how to reap workers when several could not load the application: the first ends the server.

    Gunicorn's own way would have it fall over the second, without what it does at its end.
    """
    reap = server.reap_workers

    def reap_workers() -> None:
        try:
            reap()
        except HaltServer:
            if server.LISTENERS:  # which a server that stops has closed
                raise

    return reap_workers


def on_reload(server: Any) -> None:
    """Let the workers that serve now go on until one of those to come is ready."""
    server.generations.begin()


def on_exit(server: Any) -> None:
    """Remove what only this server's workers shared."""
    shutil.rmtree(settings.runtime_dir / "room" / str(server.pid), ignore_errors=True)
    if server.metrics is not None:
        server.metrics.remove()


def when_ready(server: Any) -> None:
    """Hear of signals from now on; ``serve`` had them blocked, for they would have killed the master."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())


def worker_int(worker: Any) -> None:
    """End a worker that still imports: Gunicorn's own way, an exception, is a failed import to the master."""
    if not worker.booted:
        os._exit(0)


def worker_abort(worker: Any) -> None:
    """Do the same for one that imports for too long; the master starts another."""
    worker_int(worker)


def _block_stops() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _unblock_stops() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _end_at_a_stop(master: int) -> Callable[[], None]:
    """Return what a new worker does first: until it has its own handlers, a stop ends it.

    It has the master's, which only take a note that nobody reads here.
    """

    def in_child() -> None:
        if os.getppid() == master:
            for signum in STOPS:
                signal.signal(signum, lambda *_: os._exit(0))
        _unblock_stops()

    return in_child


def post_fork(server: Any, worker: Any) -> None:
    """Hang the worker on the master: killed, not stopped, for a request in flight would keep the port."""
    with _guarded(worker, "post_fork"):
        read_end, write_end = server.workers_lifeline
        os.close(write_end)
        worker.own_lifeline = lifeline.arm(read_end)
        worker.generation = server.generations.newest()


def post_worker_init(worker: Any) -> None:
    """Begin to load the tasks, and the store; who waits for a job goes home when the worker stops."""
    with _guarded(worker, "post_worker_init"):
        worker.wsgi.extensions["everycore.watcher"].is_stopping = lambda: not worker.alive
        # It is opened now: when a later version has migrated it, only those may use it that have it open.
        worker.wsgi.extensions["everycore.store_check"].state()
        worker.wsgi.extensions["everycore.engine"].warm()


def worker_exit(server: Any, worker: Any) -> None:
    """End what still runs; its requests get their answers, and the worker's threads end."""
    # The master runs this too, for a worker that it finds gone.
    if worker.pid == os.getpid():
        with _guarded(worker, "worker_exit"):
            # A worker that could not load the application has none.
            app = getattr(worker, "wsgi", None)
            if app is not None:
                app.extensions["everycore.engine"].close()
                app.extensions["everycore.watcher"].close()
                app.extensions["everycore.store"].close()
                if (tracer := app.extensions["everycore.tracer"]) is not None:
                    tracer.close()


@contextlib.contextmanager
def _guarded(worker: Any, hook: str) -> Iterator[None]:
    """Log what goes wrong in a hook; an exception there would stop the whole server."""
    try:
        yield
    except Exception:
        worker.log.exception("%s failed", hook)
