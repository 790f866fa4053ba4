"""The worker's own ways of stopping, where Gunicorn's would not do."""

import contextlib
import selectors
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import PollableMethodQueue

from service.api.rolling import RollingWorker


@contextlib.contextmanager
def worker_that_quits_at(signum: int) -> Iterator[RollingWorker]:
    """Return a worker that has nothing but its loop."""
    worker = RollingWorker.__new__(RollingWorker)
    worker.cfg = Config()
    worker.cfg.set("worker_int", lambda _: None)
    worker.tpool = ThreadPoolExecutor(1)
    worker.method_queue = PollableMethodQueue()
    worker.method_queue.init()
    before = signal.signal(signum, worker.handle_quit)
    try:
        with selectors.DefaultSelector() as worker.poller:
            queue = worker.method_queue
            worker.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
            yield worker
    finally:
        signal.signal(signum, before)
        worker.method_queue.close()


@pytest.mark.timeout(10)
def test_a_stop_at_once_may_come_while_a_request_is_handed_to_a_thread(monkeypatch):
    start = threading.Thread.start
    threads = []

    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        start(thread)
        signal.raise_signal(signal.SIGUSR2)

    with worker_that_quits_at(signal.SIGUSR2) as worker:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        request = worker.tpool.submit(lambda: "answered")

        with pytest.raises(SystemExit) as stop:
            worker.wait_for_and_dispatch_events(60)

    assert stop.value.code == 0
    assert not worker.alive
    assert request.result(5) == "answered"
    threads[0].join(5)
    assert not threads[0].is_alive(), "Python waits for it at its end"
