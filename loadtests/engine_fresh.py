"""What is measured in a fresh Python process for each peer: starts, memory, deadlines, deaths.

    bench_engine --plan--> python: one peer, alone --JSON--> bench_engine

A start is cold only once in a process, memory is shared with whoever else is there, and a pool that had
to kill or lost a process is not the same afterwards. Peers take turns here too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from loadtests import bench_tasks
from loadtests.engine_peer import Peer
from loadtests.engine_peers import PEERS
from loadtests.engine_plan import Plan, Samples, Value

#: Deadline that calls are given to pass, in seconds, and how long they would run otherwise.
LIMIT, TOO_LONG = 0.2, 5.0
#: 7 to this power takes about TOO_LONG, too.
HUGE = 10**7
#: Seconds that calls run which a process is killed under, and after which they count as lost.
HELD, LOST = 0.3, 1.0

_ROOT = Path(__file__).parent.parent
# Not ``-m``: the standard start methods import a main module that has a name once more in each child.
_CODE = "from loadtests.engine_fresh import main; main()"
_PATIENCE = 60.0


def measure(names: Sequence[str], plan: Plan, note: Callable[[str], None]) -> Samples:
    """Return, by peer and figure, what each fresh process measured."""
    samples: Samples = {name: {} for name in names}
    for turn in range(plan.fresh_rounds):
        for name in names:
            note(f"fresh processes: round {turn + 1} of {plan.fresh_rounds}, {name}")
            for figure, values in _run(name, plan).items():
                samples[name].setdefault(figure, []).extend(values)
    return samples


def _run(name: str, plan: Plan) -> dict[str, list[Value]]:
    """Measure one peer in a process of its own, which leaves nothing behind."""
    command = [sys.executable, "-c", _CODE, name, json.dumps(dataclasses.asdict(plan))]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=_PATIENCE)
        finally:
            _kill_group(process.pid)
    if process.returncode:
        raise RuntimeError(f"measuring {name} in a fresh process failed with status {process.returncode}")
    figures: dict[str, list[Value]] = json.loads(output)
    return figures


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # as it should be


def main() -> None:
    """Measure the peer named on the command line and print the figures as JSON."""
    name, plan = sys.argv[1], Plan(**json.loads(sys.argv[2]))
    PEERS[name].load()
    figures = alone(PEERS[name], plan)
    print(json.dumps(figures), flush=True)


def alone(kind: type[Peer], plan: Plan) -> dict[str, list[Value]]:
    """Return the figures of one peer, which must not have been used in this process before."""
    begun = time.perf_counter()
    peer = kind(plan.processes)
    try:
        peer.call(bench_tasks.hold, 0.0)
        figures: dict[str, list[Value]] = {"first_start": [(time.perf_counter() - begun) * 1e3]}
        figures["next_start"] = [_next_start(peer) * 1e3]
        figures |= _memory(peer)
        figures["array_first"] = [_first_array(peer, plan.large) * 1e3]
        if peer.has_deadlines:
            figures["overrun_python"] = _overruns(peer, bench_tasks.spin, TOO_LONG, plan.deadlines)
            figures["overrun_c"] = _overruns(peer, bench_tasks.power, HUGE, plan.deadlines)
        for _ in range(plan.kills):
            for figure, value in _death(peer).items():
                figures.setdefault(figure, []).append(value)
    finally:
        peer.close()
    return figures


def _next_start(peer: Peer) -> float:
    """Seconds until a second process gives its first answer.

    A pool that grows on demand gets a call while its first process is busy; of the others another pool
    of one process is made, beside the one that is there.
    """
    if peer.grows:
        with ThreadPoolExecutor(1) as thread:
            busy = _hold(peer, thread, 1)
            begun = time.perf_counter()
            pid = peer.call(bench_tasks.hold, 0.0)
            took = time.perf_counter() - begun
            assert pid != busy[0].result()
        return took
    begun = time.perf_counter()
    further = type(peer)(1)
    try:
        further.call(bench_tasks.hold, 0.0)
        return time.perf_counter() - begun
    finally:
        further.close()


def _hold(peer: Peer, threads: ThreadPoolExecutor, count: int) -> list[Future[int]]:
    """Keep processes busy from threads; return when they are, by all appearances."""
    held = [threads.submit(peer.call, bench_tasks.hold, HELD, LOST) for _ in range(count)]
    threading.Event().wait(HELD / 4)
    return held


def _pids(peer: Peer) -> set[int]:
    """Return the processes of a pool, by having all of them answer."""
    pids: set[int] = set()
    for _ in range(10):
        pids.update(peer.fan_out(bench_tasks.hold, [0.1] * peer.processes))
        if len(pids) >= peer.processes:
            return pids
    raise RuntimeError(f"{peer.name} never had {peer.processes} processes answer")


def _memory(peer: Peer) -> dict[str, list[Value]]:
    """Megabytes of each idle pool process, and of the processes that look after them."""
    pids = _pids(peer)
    everyone = psutil.Process().children(recursive=True)
    helpers = [_megabytes(process.pid) for process in everyone if process.pid not in pids]
    return {"memory": [_megabytes(pid) for pid in sorted(pids)], "memory_of_helpers": [sum(helpers)]}


def _megabytes(pid: int) -> float:
    """Return the proportional set size: memory shared by n processes counts 1/n in each."""
    return float(psutil.Process(pid).memory_full_info().pss) / 1e6


def _first_array(peer: Peer, megabytes: int) -> float:
    """Seconds for many megabytes of floats and their doubles, none of the memory having been used before."""
    array = np.arange(megabytes << 17, dtype=np.float64)
    begun = time.perf_counter()
    answer = peer.call(bench_tasks.double, array)
    took = time.perf_counter() - begun
    assert answer[-1] == 2 * array[-1]
    return took


def _overruns(peer: Peer, function: Callable[[Any], Any], value: float, times: int) -> list[Value]:
    """Milliseconds from a deadline to the answer that it has passed."""
    overruns: list[Value] = []
    for _ in range(times):
        peer.fan_out(bench_tasks.hold, [0.02] * peer.processes)
        begun = time.perf_counter()
        try:
            peer.call_within(function, value, LIMIT)
        except TimeoutError:
            overruns.append((time.perf_counter() - begun - LIMIT) * 1e3)
        else:
            raise RuntimeError(f"{peer.name} let a call run past its deadline")
    return overruns


def _death(peer: Peer) -> dict[str, Value]:
    """Kill one process while all are busy; tell when the next call is answered, and how the others end."""
    victim = min(_pids(peer))
    with ThreadPoolExecutor(peer.processes) as threads:
        held = _hold(peer, threads, peer.processes)
        begun = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        _call_until_answered(peer)
        took = time.perf_counter() - begun
        ends = sorted(_end(future) for future in held)
    return {
        "replacement": took * 1e3,
        "killed_call": next((end for end in ends if end != "answered"), "answered"),
        "neighbours": _neighbours(ends),
    }


def _neighbours(ends: list[str]) -> str:
    """Tell how the calls ended beside the one whose process was killed."""
    if len(ends) == 1:
        return "none"
    lost = len(ends) - ends.count("answered") - 1
    return "answered" if lost == 0 else f"{lost} of {len(ends) - 1} lost too"


def _call_until_answered(peer: Peer) -> None:
    until = time.monotonic() + _PATIENCE / 2
    while time.monotonic() < until:
        try:
            peer.call(bench_tasks.noop, 0, LOST)
        except Exception:  # noqa: BLE001 - each peer has its own words for a death
            peer.renew()
        else:
            return
    raise RuntimeError(f"{peer.name} answers no more")


def _end(future: Future[Any]) -> str:
    try:
        future.result()
    except TimeoutError:
        return "lost"
    except Exception:  # noqa: BLE001 - as above
        return "failed"
    return "answered"
