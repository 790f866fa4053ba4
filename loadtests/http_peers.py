"""What the service is compared with over HTTP: a Flask application that does the same in other ways.

/empty              nothing but Flask itself
/pool_per_request   four sums on a new ``multiprocessing.Pool``, as the four samples do it
/kept_executor      four sums on a ``ProcessPoolExecutor`` that each worker makes once and keeps
/request_thread     four sums in the thread that has the request, one after the other
/burn               one computation in four parts, on a new pool for each request
/…/burn             the same in each of the three ways above
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from flask import Flask, Response, jsonify, request

from loadtests.http_work import burn, sum_of_squares

#: Processes of a pool, and parts of the work; both are four in the samples.
PROCESSES = 4
#: The quickest way to start a process, and the one that was the default when the samples were written.
FORK = multiprocessing.get_context("fork")
#: What is summed in each part.
SUMS = (1000,) * PROCESSES
#: Calls a function with each of some values.
Way = Callable[[Callable[[int], int], Sequence[int]], list[int]]


def create_app() -> Flask:
    """Build the application; Gunicorn calls it in each of its workers."""
    app = Flask(__name__)
    executor = PerProcess(lambda: ProcessPoolExecutor(PROCESSES, mp_context=FORK))
    ways: dict[str, Way] = {
        "pool_per_request": _on_new_pool,
        "kept_executor": lambda function, values: list(executor.get().map(function, values)),
        "request_thread": lambda function, values: list(map(function, values)),
    }

    @app.get("/empty")
    def empty() -> Response:
        return jsonify(status="ok")

    def sums(way: str) -> Response:
        return _results(ways[way](sum_of_squares, SUMS))

    def burn_in_parts(way: str) -> Response:
        rounds = request.args.get("rounds", 0, type=int)
        return _results(ways[way](burn, parts(rounds)))

    names = ",".join(ways)
    app.add_url_rule(f"/<any({names}):way>", view_func=sums)
    app.add_url_rule(f"/<any({names}):way>/burn", view_func=burn_in_parts)
    app.add_url_rule("/burn", "burn", lambda: burn_in_parts("pool_per_request"))
    return app


def parts(rounds: int) -> list[int]:
    """Cut a computation into as many equal parts as a pool has processes."""
    return [rounds // PROCESSES] * PROCESSES


def _on_new_pool(function: Callable[[int], int], values: Sequence[int]) -> list[int]:
    # Leaving a ``with`` block, as in the samples, ends the processes by SIGTERM. Forks of a Gunicorn worker
    # have its handler for that, which only takes a note, so the first request already waits for ever.
    pool = FORK.Pool(PROCESSES)
    try:
        return pool.map(function, values)
    finally:
        pool.close()
        pool.join()


def _results(results: Sequence[int]) -> Response:
    return jsonify(results=results)


class PerProcess:
    """An executor of each process's own, made when it is first asked for: forks don't share one."""

    def __init__(self, make: Callable[[], ProcessPoolExecutor]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._executors: dict[int, ProcessPoolExecutor] = {}

    def get(self) -> ProcessPoolExecutor:
        """Return this process's executor."""
        with self._lock:
            pid = os.getpid()
            if pid not in self._executors:
                self._executors[pid] = self._make()
            return self._executors[pid]
