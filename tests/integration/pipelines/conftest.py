"""A local engine with real processes, two slots and pipelines that misbehave, and short words to run them."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.engine.local import LocalEngine
from service.engine.pool import Pool
from service.engine.process import PoolProcess
from service.engine.slots import Slots
from service.errors import EverycoreError, StageFailed
from service.pipelines.run import Item, PipelineRun, Skipped
from service.tasks import registry

HERE = "tests.integration.pipelines"
MODULES = [
    f"{HERE}.pipelines_for_tests",
    *(
        f"{HERE}.{name}_pipelines"
        for name in ("broken", "busy", "computing", "edge", "killed", "random", "talking")
    ),
]


@dataclass
class Result:
    """What came of a run."""

    run: PipelineRun
    items: list[Item] = field(default_factory=list)
    skipped: list[StageFailed] = field(default_factory=list)
    #: What the run ended with; ``None`` for a good end.
    error: EverycoreError | None = None
    seconds: float = 0.0

    @property
    def values(self) -> list[Any]:
        return [item.value for item in self.items]

    @property
    def failure(self) -> StageFailed:
        assert isinstance(self.error, StageFailed), self.error
        return self.error


class Pipes:
    """Short words for the tests."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self._runs: weakref.WeakSet[PipelineRun] = weakref.WeakSet()

    @property
    def pool(self) -> Pool:
        return self.engine._ensure_pool()

    @property
    def busy(self) -> list[PoolProcess]:
        """The processes that work on something now."""
        with self.pool.lock:
            return list(self.pool._busy)

    def start(self, name: str, within: float = 30, **arguments: Any) -> PipelineRun:
        """Begin a run; what a run takes besides its arguments goes by its own name."""
        options = {
            option: arguments.pop(option)
            for option in ("skip", "attempt", "on_event", "hangup_fd", "request_id")
            if option in arguments
        }
        pipeline = registry.get(name).pipeline
        assert pipeline is not None
        run = PipelineRun(self.engine, pipeline, arguments, deadline=time.monotonic() + within, **options)
        self._runs.add(run)
        return run

    def close(self) -> None:
        """End what a test that failed has left."""
        for run in list(self._runs):
            run.close()
        self.engine.close()

    def run(self, name: str, within: float = 30, **arguments: Any) -> Result:
        """Run to the end, whatever that is."""
        began = time.monotonic()
        result = Result(self.start(name, within, **arguments))
        try:
            for found in result.run:
                if isinstance(found, Skipped):
                    result.skipped.append(found.error)
                else:
                    result.items.append(found)
        except EverycoreError as error:
            result.error = error
        result.seconds = time.monotonic() - began
        return result

    def values(self, name: str, within: float = 30, **arguments: Any) -> list[Any]:
        """Return the results of a run in which all goes well."""
        result = self.run(name, within, **arguments)
        assert result.error is None, result.error
        assert not result.skipped, result.skipped
        return result.values


class Watch:
    """Sees whether anything is left of the runs since it was made."""

    def __init__(self, pipes: Pipes) -> None:
        """Learn what an idle process keeps open in its owner."""
        gc.collect()  # what earlier engines leave to the collector
        self._pipes = pipes
        self._slots = Slots(
            pipes.engine._pool_arguments["runtime_dir"], pipes.engine._pool_arguments["cpu_slots"]
        )
        pipes.values("t_plain")
        few, open_with_few = len(pipes.pool._idle), descriptors()
        pipes.values("t_wide_and_long")
        many, open_with_many = len(pipes.pool._idle), descriptors()
        assert many > few
        self._of_one = (open_with_many - open_with_few) // (many - few)
        self._others = open_with_many - many * self._of_one

    def assert_nothing_is_left(self) -> None:
        """Check that no process works, no slot is held, no descriptor open, and that it all works still."""
        pool = self._pipes.pool
        assert not self._pipes.busy
        assert pool._in_crews == 0
        assert pool._crews._taken == 0
        assert self._slots.taken == 0
        assert not self._slots.contended
        assert descriptors() <= self._others + len(pool._idle) * self._of_one
        assert self._pipes.values("t_plain", n=3) == [2, 4, 6]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def was_killed(process: Any) -> bool:
    """Kill it, and tell whether it was still the engine's; that may let go of it at the same time."""
    try:
        process.send_kill()
    except OSError:
        return False
    return True


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; nobody may have asked how yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(true: Callable[[], object], within: float = 20.0) -> float:
    """Wait for a condition; return the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + within, true
        time.sleep(0.001)
    return time.monotonic() - began


def engine_of(runtime_dir: Path, **changes: Any) -> LocalEngine:
    registry.load(MODULES)
    arguments: dict[str, Any] = {
        "modules": MODULES,
        "processes": 10,
        "cpu_slots": 2,
        "runtime_dir": runtime_dir,
        "idle_seconds": 600.0,
        "queue_timeout": 30.0,
    }
    return LocalEngine(**(arguments | changes))


@pytest.fixture
def make_pipes(tmp_path: Path) -> Iterator[Callable[..., Pipes]]:
    """Make engines that share one budget of slots; they are closed at the end of the test."""
    made: list[Pipes] = []

    def make(**changes: Any) -> Pipes:
        made.append(Pipes(engine_of(tmp_path / "run", **changes)))
        return made[-1]

    yield make
    for pipes in made:
        pipes.close()


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipes]:
    """One engine for all tests of a file: what one run leaves behind, the next would meet."""
    pipes = Pipes(engine_of(tmp_path_factory.mktemp("run"), memory_limit=200_000_000))
    yield pipes
    pipes.close()


@pytest.fixture(scope="module")
def watch(pipes: Pipes) -> Watch:
    return Watch(pipes)
