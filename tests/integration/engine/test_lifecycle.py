"""How pools grow, shrink and end, and that nothing is left of them."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from service.engine import spawner
from service.engine.base import Call
from service.errors import Cancelled, ConfigurationError, EngineUnavailable, Stopping
from tests.integration.engine.conftest import TASKS

ROOT = Path(__file__).resolve().parents[3]
OWNER = Path(__file__).with_name("owner.py")


def below(pid):
    """Return the living processes below a process."""
    return [p for p in psutil.Process(pid).children(recursive=True) if name_of(p) is not None]


def name_of(process):
    """Return the name of a living process; ``None`` for one that ended, or does so while it is looked at."""
    try:
        return process.name() if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def pool_processes():
    return [process for process in below(os.getpid()) if name_of(process) == "everycore-pool"]


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(true, within=10.0):
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, true
        time.sleep(0.005)


def gone(processes):
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.fixture
def loading(tmp_path, monkeypatch):
    """The file that is there once ``endless_tasks``, of which loading has no end, is being loaded."""
    endless = "import pathlib, time\npathlib.Path(__file__).with_name('reached').touch()\ntime.sleep(1000)\n"
    (tmp_path / "endless_tasks.py").write_text(endless)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "reached"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
@pytest.mark.parametrize("state", ["idle", "python", "c"])
def test_pool_processes_die_with_their_owner(tmp_path, state, signum):
    with subprocess.Popen(
        [sys.executable, str(OWNER), str(tmp_path), state],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        processes = below(owner.pid)
        assert {"everycore-forks", "everycore-pool"} <= {process.name() for process in processes}
        owner.send_signal(signum)
        owner.wait()
        died = time.monotonic()
        wait_until(lambda: gone(processes))
        assert time.monotonic() - died < 1.0


def test_nothing_is_left_when_an_engine_is_closed(make_engine, run_on):
    gc.collect()  # or it may close meanwhile what other tests have left
    before = descriptors(), len(below(os.getpid())), threading.active_count()
    for _ in range(3):
        engine = make_engine()
        run = run_on(engine)
        run.results("nap", [{"seconds": 0.05}] * 4)
        run.error("exit_hard", code=1)
        run.error("spin", within=0.1, seconds=60)
        engine.close()
        wait_until(lambda: (descriptors(), len(below(os.getpid())), threading.active_count()) == before)


def test_closing_ends_what_runs_with_an_error_of_its_own(make_engine, run_on):
    engine = make_engine()
    run = run_on(engine)
    run.result("whoami")
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.extend(run.outcomes(Call("spin", {"seconds": 60}, n) for n in range(5)))
    )
    thread.start()
    wait_until(lambda: len(engine._ensure_pool()._busy) == 2)
    began = time.monotonic()
    engine.close()
    thread.join()
    assert time.monotonic() - began < 3
    assert [type(outcome.error) for outcome in outcomes] == [Cancelled] * 5
    with pytest.raises(Stopping):
        run.result("echo", value=1)


def test_those_who_wait_in_line_are_sent_away_when_the_engine_is_closed(make_engine, run_on):
    engine = make_engine(cpu_slots=1)
    run = run_on(engine)
    errors = []

    def work():
        try:
            run.result("spin", seconds=60)
        except (Stopping, Cancelled) as error:
            errors.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(engine._ensure_pool().lines[1]) == 3)
    engine.close()
    for thread in threads:
        thread.join(timeout=5)
    assert len(errors) == 4
    assert set(errors) == {Cancelled, Stopping}


def test_closing_the_iterator_stops_the_work_and_frees_the_processes(run, tmp_path):
    outcomes = run.outcomes(
        [Call("echo", {"value": 0}), *(Call("spin", {"seconds": 60}, n) for n in range(1, 9))]
    )
    assert next(outcomes).index == 0
    outcomes.close()
    pool = run.engine._ensure_pool()
    assert not pool._busy
    began = time.monotonic()
    assert run.results("echo", [{"value": n} for n in range(4)]) == [0, 1, 2, 3]
    assert time.monotonic() - began < 2


def test_a_pool_grows_under_demand_and_shrinks_when_idle(make_engine, run_on):
    run = run_on(make_engine(idle_seconds=0.3))
    assert len(set(run.results("nap", [{"seconds": 0.1}] * 6))) == 6
    assert len(pool_processes()) == 6
    wait_until(lambda: not pool_processes())
    assert run.result("echo", value=1) == 1


def test_a_pool_keeps_to_its_size(make_engine, run_on):
    run = run_on(make_engine(processes=3))
    assert len(set(run.results("nap", [{"seconds": 0.05}] * 12))) == 2, "one is kept for calls that compute"
    assert len(pool_processes()) <= 3


def test_a_process_is_replaced_after_its_share_of_calls(make_engine, run_on):
    run = run_on(make_engine(recycle_calls=3))
    pids = [run.result("whoami") for _ in range(9)]
    assert [len(set(pids[n : n + 3])) for n in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


def test_a_fork_server_that_is_killed_is_replaced(run):
    pid = run.result("whoami")
    (forks,) = [process for process in below(os.getpid()) if process.name() == "everycore-forks"]
    forks.kill()
    wait_until(lambda: gone([forks]))
    assert run.result("whoami") == pid, "its processes go on"
    assert run.error("exit_hard", code=4).exit_code is None, "but nobody knows how they ended"
    assert run.result("whoami") != pid


def test_a_module_that_fails_in_the_fork_server_is_an_error_of_the_caller(make_engine, run_on, tmp_path):
    (tmp_path / "broken_only_there.py").write_text("import nowhere_to_be_found\n")
    sys.path.insert(0, str(tmp_path))
    try:
        run = run_on(make_engine(modules=["broken_only_there"]))
        with pytest.raises(ConfigurationError, match="nowhere_to_be_found"):
            run.result("echo", value=1)
    finally:
        sys.path.remove(str(tmp_path))


def test_its_fork_server_can_be_there_before_the_first_call(make_engine, run_on, tmp_path, monkeypatch):
    (tmp_path / "early_tasks.py").write_text("from service.tasks import task\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = make_engine(modules=[TASKS, "early_tasks"])
    assert engine.ready, "nobody has asked for more"

    engine.warm()

    assert not engine.ready
    wait_until(lambda: engine.ready)
    assert not pool_processes()
    (tmp_path / "early_tasks.py").write_text("import nowhere_to_be_found\n")
    assert run_on(engine).result("echo", value=1) == 1, "with what there was at the start"


def test_who_waits_for_a_new_process_when_the_engine_is_closed_is_told_so(make_engine, run_on, loading):
    run = run_on(make_engine(modules=["endless_tasks"]))
    errors = []

    def wait_in_vain():
        with pytest.raises(EngineUnavailable) as caught:
            run.result("echo", value=1)
        errors.append(caught.type)

    thread = threading.Thread(target=wait_in_vain)
    thread.start()
    wait_until(loading.exists)
    run.engine.close()
    thread.join(10)
    assert errors == [Stopping]


def test_a_fork_server_that_has_not_loaded_everything_holds_up_no_end(make_engine, loading, monkeypatch):
    before = below(os.getpid())
    engine = make_engine(modules=["endless_tasks"])
    engine.warm()
    wait_until(loading.exists)

    # What one is given that is stuck would be noticed, however busy the machine is.
    monkeypatch.setattr(spawner, "STUCK", 60.0)
    began = time.monotonic()
    engine.close()

    assert time.monotonic() - began < spawner.STUCK / 2
    wait_until(lambda: set(below(os.getpid())) <= set(before))


@pytest.mark.timeout(240)
def test_ten_thousand_calls_of_every_kind_leave_nothing_behind(make_engine, run_on):
    """Each gets its own right answer; memory, processes and descriptors return to where they were."""
    run = run_on(make_engine())
    run.results("echo", [{"value": n} for n in range(100)])
    process = psutil.Process()
    before = descriptors(), process.memory_info().rss

    def load(base):
        # Only those that never end have a limit: on a busy machine others may take long, too.
        limits = [0.05 if (base + n) % 20 == 14 else None for n in range(500)]
        calls = [Call("mostly_harmless", {"number": base + n}, n, timeout=limits[n]) for n in range(500)]
        outcomes = {outcome.index: outcome for outcome in run.outcomes(calls, within=200)}
        for n in range(500):
            kind = {3: "TaskCrashed", 9: "TaskFailed", 14: "DeadlineExceeded"}.get((base + n) % 20)
            outcome = outcomes[n]
            found = type(outcome.error).__name__ if outcome.error else None
            if found != kind or (kind is None and outcome.value != (base + n) ** 2):
                wrong.append((base + n, outcome))

    wrong: list[object] = []
    threads = [threading.Thread(target=load, args=(1000 * n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    wait_until(lambda: len(pool_processes()) <= 8)
    wait_until(lambda: not run.engine._ensure_pool()._busy)
    idle = len(run.engine._ensure_pool()._idle)
    per_process = 10
    assert descriptors() <= before[0] + per_process * idle
    assert process.memory_info().rss - before[1] < 30_000_000
