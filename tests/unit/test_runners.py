"""Runners that can't even be started; those that run are in ``tests/e2e/test_runners.py``."""

import signal
import time

import pytest
import structlog

from service import runners
from service.runners import Runners

#: No file is open under this number, so no child can inherit it.
NO_FILE = 10_000


@pytest.fixture
def lines():
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_one_that_can_not_be_started_is_tried_again_ever_more_rarely(lines):
    ours = Runners(1, NO_FILE)

    for n in (1, 2, 3):
        before = time.monotonic()
        again = ours.look_after()
        after = time.monotonic()
        assert again is not None
        assert before <= again - runners.FIRST_DELAY * 2**n <= after
        assert ours.look_after() == again
        time.sleep(max(0.0, again - time.monotonic()))

    assert [line["event"] for line in lines] == ["a runner can't be started"] * 3
    assert not ours.alive


def test_none_is_started_after_a_stop(lines):
    ours = Runners(1, NO_FILE)
    ours.stop(signal.SIGTERM)

    assert ours.look_after() is None
    assert lines == []
