"""The worker's own ways of stopping, where Gunicorn's would not do."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gunicorn.config import Config

from service.api.rolling import RollingWorker


@pytest.mark.timeout(10)
def test_a_stop_at_once_may_come_while_a_request_is_handed_to_a_thread(monkeypatch):
    worker = RollingWorker.__new__(RollingWorker)
    worker.cfg = Config()
    worker.cfg.set("worker_int", lambda _: None)
    worker.tpool = ThreadPoolExecutor(1)
    monkeypatch.setattr(threading.Thread, "start", lambda _: signal.raise_signal(signal.SIGUSR2))
    before = signal.signal(signal.SIGUSR2, worker.handle_quit)
    try:
        with pytest.raises(SystemExit):
            worker.tpool.submit(print)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not worker.alive
