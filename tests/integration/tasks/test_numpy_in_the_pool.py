"""What NumPy costs a pool process: one thread, and little memory of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from service.engine.base import Call
from service.engine.local import LocalEngine
from service.tasks import registry

PROCESSES = 4


@pytest.fixture
def make_engine(tmp_path: Path) -> Iterator[Callable[[], LocalEngine]]:
    registry.load()
    engines: list[LocalEngine] = []

    def make() -> LocalEngine:
        engines.append(LocalEngine(processes=PROCESSES, cpu_slots=PROCESSES, runtime_dir=tmp_path / "run"))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def multiply(engine: LocalEngine, size: int, count: int) -> list[np.ndarray]:
    a = np.full((size, size), 1.0)
    calls = [Call("matrix_multiply", {"a": a, "b": a}, i) for i in range(count)]
    return [outcome.result() for outcome in engine.run(calls, deadline=time.monotonic() + 50)]


def pool_processes() -> list[psutil.Process]:
    return [
        process for process in psutil.Process().children(recursive=True) if name(process) == "everycore-pool"
    ]


def name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def most_threads(engine: LocalEngine) -> int:
    """Return the most threads that any pool process is seen with while it multiplies."""
    work = threading.Thread(target=multiply, args=(engine, 1000, 3 * PROCESSES))
    work.start()
    seen = [0]
    while work.is_alive():
        seen.extend(process.num_threads() for process in pool_processes())
        work.join(0.01)
    return max(seen)


def test_a_pool_process_multiplies_in_one_thread(make_engine: Callable[[], LocalEngine]) -> None:
    assert most_threads(make_engine()) == 1


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one CPU")
def test_it_has_more_threads_when_the_environment_says_so(
    make_engine: Callable[[], LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which shows that the other test would see them."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")

    assert most_threads(make_engine()) == 2


def test_an_array_comes_back_from_the_pool(make_engine: Callable[[], LocalEngine]) -> None:
    for product in multiply(make_engine(), 300, 4):
        assert product.shape == (300, 300)
        assert (product == 300).all()


def test_an_idle_pool_process_takes_at_most_15_megabytes(make_engine: Callable[[], LocalEngine]) -> None:
    # Given processes that have worked, and share what the fork server imported
    engine = make_engine()
    multiply(engine, 10, 3 * PROCESSES)
    calls = [Call("sum_of_squares", {"n": 1_000_000}, i) for i in range(3 * PROCESSES)]
    list(engine.run(calls, deadline=time.monotonic() + 30))

    # Then each takes little, shared pages counted by its share
    idle = pool_processes()
    assert len(idle) > 1
    assert max(process.memory_full_info().pss for process in idle) < 15_000_000
