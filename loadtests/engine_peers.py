"""The ways to run a function in another process that ``bench_engine`` compares.

Each does what ``Peer`` asks by the means that its users would choose. What is not the standard library's
is imported by ``load``, so that one that is not installed is left out, and nobody's memory or start
includes another's modules.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from loadtests import bench_tasks
from loadtests.engine_peer import PATIENCE, Function, Peer
from service.engine.base import Call
from service.engine.local import LocalEngine
from service.errors import DeadlineExceeded

# Like Everycore's own fork server, the standard one imports the tasks once, before it forks.
_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([bench_tasks.__name__])


class RawPipe(Peer):
    """One child process at the other end of ``multiprocessing.Pipe``: the limit."""

    name = "raw pipe"
    module = "multiprocessing"

    def __init__(self, processes: int = 1) -> None:
        """Start the child; more than one has no place at the other end."""
        super().__init__(min(processes, 1))
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        with theirs:
            self._child = _forkserver.Process(target=bench_tasks.serve, args=(theirs,))
            self._child.start()

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """Send, and wait for what comes back; to watch the time as well would add to it."""
        with self._lock:
            self._ours.send((function.__name__, value))
            if patience < PATIENCE and not self._ours.poll(patience):
                raise TimeoutError
            return self._ours.recv()

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """One after the other."""
        return [self.call(function, value) for value in values]

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """One after the other."""
        return [self.call(function, value) for value in values]

    def renew(self) -> None:
        """Start another child."""
        self.close()
        self._start()

    def close(self) -> None:
        """Close the pipe, which ends the child."""
        self._ours.close()
        self._child.join(5)
        self._child.kill()


class Everycore(Peer):
    """``LocalEngine``, with one CPU slot a process."""

    name = "everycore"
    module = "service.engine.local"
    start_method = "own fork server"
    chunks_by_itself = True
    grows = True
    has_deadlines = True

    def __init__(self, processes: int) -> None:
        """Start nothing yet."""
        super().__init__(processes)
        self._directory = tempfile.TemporaryDirectory(prefix="bench-engine-")
        self._engine = LocalEngine(
            modules=[bench_tasks.__name__],
            processes=processes,
            cpu_slots=processes,
            runtime_dir=Path(self._directory.name),
            idle_seconds=600.0,
        )

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """A run of one call."""
        calls = [Call(_task(function), {"value": value})]
        (outcome,) = self._engine.run(calls, deadline=time.monotonic() + patience)
        return outcome.result()

    def call_within(self, function: Function, value: Any, seconds: float) -> Any:
        """The deadline of a run is what a request's time limit becomes."""
        try:
            return self.call(function, value, seconds)
        except DeadlineExceeded as error:
            raise TimeoutError from error

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """A run of all calls."""
        return self.map(function, values)

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """A run of a lazy generator."""
        name = _task(function)
        calls = (Call(name, {"value": value}, index) for index, value in enumerate(values))
        results: dict[int, Any] = {}
        for outcome in self._engine.run(calls, deadline=time.monotonic() + PATIENCE):
            results[outcome.index] = outcome.result()
        return [results[index] for index in range(len(results))]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
        self._directory.cleanup()


class Futures(Peer):
    """``concurrent.futures.ProcessPoolExecutor``."""

    name = "concurrent.futures"
    module = "concurrent.futures"
    takes_chunksize = True

    def __init__(self, processes: int) -> None:
        """Make the executor."""
        super().__init__(processes)
        self._executor = self._make()

    def _make(self) -> Any:
        return ProcessPoolExecutor(self.processes, mp_context=_forkserver)

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """Submit, and wait for the future."""
        return self._executor.submit(function, value).result(patience)

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """Submit all, then wait for one after the other."""
        futures = [self._executor.submit(function, value) for value in values]
        return [future.result(PATIENCE) for future in futures]

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """One item to a message, which is its default."""
        return self.map_in_chunks(function, values, 1)

    def map_in_chunks(self, function: Function, values: Iterable[Any], size: int) -> list[Any]:
        """Take ``chunksize``."""
        return list(self._executor.map(function, values, chunksize=size, timeout=PATIENCE))

    def renew(self) -> None:
        """Make another executor, for a broken one stays broken."""
        self.close()
        self._executor = self._make()

    def close(self) -> None:
        """Shut the executor down."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Loky(Futures):
    """``loky.ProcessPoolExecutor``, with the start method it is made around."""

    name = "loky"
    module = "loky"
    start_method = "loky"

    def _make(self) -> Any:
        # Without a time limit: idle processes would leave after 10 s otherwise.
        return self.load().ProcessPoolExecutor(self.processes, timeout=None)

    def close(self) -> None:
        """Shut the executor down."""
        self._executor.shutdown(wait=True, kill_workers=True)


class StandardPool(Peer):
    """``multiprocessing.Pool``."""

    name = "mp.Pool"
    module = "multiprocessing.pool"
    chunks_by_itself = True
    takes_chunksize = True

    def __init__(self, processes: int) -> None:
        """Start all processes."""
        super().__init__(processes)
        self._pool = _forkserver.Pool(processes)

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """Apply; without a time limit one would wait for ever for what a killed process had."""
        try:
            return self._pool.apply_async(function, (value,)).get(patience)
        except multiprocessing.TimeoutError as error:
            raise TimeoutError from error

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """Apply all, then wait for one after the other."""
        results = [self._pool.apply_async(function, (value,)) for value in values]
        return [result.get(PATIENCE) for result in results]

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """Four chunks a process, which is its default."""
        return self._pool.map_async(function, values).get(PATIENCE)

    def map_in_chunks(self, function: Function, values: Iterable[Any], size: int) -> list[Any]:
        """Take ``chunksize``."""
        return self._pool.map_async(function, values, size).get(PATIENCE)

    def close(self) -> None:
        """Terminate the pool."""
        self._pool.terminate()
        self._pool.join()


class Pebble(Peer):
    """``pebble.ProcessPool``."""

    name = "Pebble"
    module = "pebble"
    takes_chunksize = True
    has_deadlines = True

    def __init__(self, processes: int) -> None:
        """Start nothing yet."""
        super().__init__(processes)
        self._pool = self.load().ProcessPool(processes, context=_forkserver)

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """Submit, and wait for the future."""
        return self._pool.submit(function, None, value).result(patience)

    def call_within(self, function: Function, value: Any, seconds: float) -> Any:
        """The timeout is the pool's, and ends the process."""
        return self._pool.submit(function, seconds, value).result(PATIENCE)

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """Submit all, then wait for one after the other."""
        futures = [self._pool.submit(function, None, value) for value in values]
        return [future.result(PATIENCE) for future in futures]

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """One item to a message, which is its default."""
        return self.map_in_chunks(function, values, 1)

    def map_in_chunks(self, function: Function, values: Iterable[Any], size: int) -> list[Any]:
        """Take ``chunksize``."""
        return list(self._pool.map(function, values, chunksize=size).result(PATIENCE))

    def close(self) -> None:
        """Stop the pool."""
        self._pool.stop()
        self._pool.join(5)


#: In the order of the table.
PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (RawPipe, Everycore, Futures, StandardPool, Pebble, Loky)
}


def _task(function: Function) -> str:
    """Name under which a function of ``bench_tasks`` is registered."""
    return f"bench.{function.__name__}"
