"""CPU slots shared by threads, engines and processes."""

import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.engine.base import Call
from service.engine.slots import Slots
from service.errors import DeadlineExceeded, Saturated

ROOT = Path(__file__).resolve().parents[3]
HOLD_ONE = """
import sys, time
from pathlib import Path
from service.engine.slots import Slots
slots = Slots(Path(sys.argv[1]), 1)
holder = slots.open()
print(holder.try_acquire(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def slots(tmp_path):
    return Slots(tmp_path, 2)


def test_there_are_as_many_slots_as_said(slots, tmp_path):
    others = Slots(tmp_path, 2)
    holders = [slots.open(), others.open(), slots.open()]
    assert [holder.try_acquire() for holder in holders] == [True, True, False]
    holders[0].release()
    assert holders[2].try_acquire()
    for holder in holders:
        holder.close()


def test_a_waiter_is_called_when_a_slot_becomes_free(slots):
    first, second, waiter = slots.open(), slots.open(), slots.open()
    first.try_acquire()
    second.try_acquire()
    first.ring()
    assert not readable(slots.bell), "nobody waits"
    waiter.announce()
    assert slots.contended
    assert not waiter.try_acquire()
    second.release()
    second.ring()
    assert readable(slots.bell)
    slots.hear()
    assert waiter.try_acquire()
    waiter.withdraw()
    assert not slots.contended
    for holder in (first, second, waiter):
        holder.close()


def test_who_gives_way_waits_no_longer_than_it_should(slots):
    waiter, late = slots.open(), slots.open()
    waiter.announce()
    began = time.monotonic()
    slots.give_way(patience=0.05)
    assert 0.05 <= time.monotonic() - began < 5, "a slot is free for the one who waits, but it does not come"
    waiter.try_acquire()
    late.try_acquire()
    began = time.monotonic()
    slots.give_way(patience=60)
    assert time.monotonic() - began < 5, "every slot is taken"
    for holder in (waiter, late):
        holder.close()


def readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def test_a_slot_held_by_a_process_that_is_killed_comes_back(tmp_path):
    slots = Slots(tmp_path, 1)
    holder = slots.open()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_ONE, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert not holder.try_acquire()
        other.send_signal(signal.SIGKILL)
        end = time.monotonic() + 20
        while not holder.try_acquire():
            assert time.monotonic() < end
            time.sleep(0.01)
    holder.close()


def busiest(folder, until):
    """Return how many files the folder held at most."""
    most = 0
    while until():
        most = max(most, len(list(folder.iterdir())))
        time.sleep(0.001)
    return most


def test_two_engines_together_never_compute_on_more_than_the_budget(make_engine, run_on, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    runs = [run_on(make_engine()) for _ in range(2)]
    args = [{"seconds": 0.02, "folder": str(work)}] * 12

    def load(run):
        assert run.results("spin_and_record", args) == [None] * 12

    threads = [threading.Thread(target=load, args=(run,)) for run in runs * 2]
    for thread in threads:
        thread.start()
    assert busiest(work, lambda: any(thread.is_alive() for thread in threads)) == 2


def test_one_that_died_holds_nothing_and_waits_for_nothing(slots):
    holder = slots.open()
    holder.try_acquire()
    holder.announce()
    assert (slots.taken, slots.contended) == (1, True)
    holder.let_go()
    assert (slots.taken, slots.contended) == (0, False)
    holder.close()


def test_a_killed_call_gives_its_slot_back(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1))
    other = run_on(make_engine(cpu_slots=1))
    for _ in range(3):
        assert isinstance(run.error("spin", within=0.1, seconds=60), DeadlineExceeded)
        assert other.result("echo", within=5, value=1) == 1
        assert run.error("exit_hard", code=1)
        assert other.result("echo", within=5, value=1) == 1


def test_a_suspended_run_holds_no_slot(make_engine, run_on):
    """A caller that does not ask for the next outcome does not keep others from computing."""
    slow_reader = run_on(make_engine(cpu_slots=1))
    other = run_on(make_engine(cpu_slots=1))
    outcomes = slow_reader.outcomes([Call("spin", {"seconds": 0.03}, n) for n in range(4)])
    next(outcomes)
    assert other.result("echo", within=5, value=1) == 1
    assert len(list(outcomes)) == 3


def test_a_suspended_run_is_killed_at_its_deadline_all_the_same(make_engine, run_on, tmp_path):
    run = run_on(make_engine())
    note = tmp_path / "pid"
    calls = [Call("echo", {"value": 0}, 0), Call("hold_the_gil", {"path": str(note)}, 1)]
    outcomes = run.outcomes(calls, within=3.0)
    next(outcomes)
    while not (note.exists() and note.read_text()):
        time.sleep(0.01)
    pid = int(note.read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    (last,) = outcomes
    assert isinstance(last.error, DeadlineExceeded)


@pytest.mark.parametrize("same_worker", [True, False])
@pytest.mark.parametrize("cpu_slots", [1, 2])
def test_a_single_call_passes_a_large_map(make_engine, run_on, same_worker, cpu_slots):
    """It waits about one chunk, whether the map runs in its own worker or in another."""
    engine = make_engine(cpu_slots=cpu_slots)
    run = run_on(engine)
    single = run if same_worker else run_on(make_engine(cpu_slots=cpu_slots))
    single.result("whoami")
    stop = threading.Event()

    def calls():
        for n in range(10_000_000):
            if stop.is_set():
                return
            yield Call("spin", {"seconds": 0.0005}, n)

    done = 0

    def load():
        nonlocal done
        for _ in run.outcomes(calls()):
            done += 1

    mapper = threading.Thread(target=load)
    mapper.start()
    while done < 200:
        time.sleep(0.001)
    waits = []
    for _ in range(15):
        began = time.monotonic()
        single.result("echo", value=1)
        waits.append(time.monotonic() - began)
        seen = done
        while done < seen + 10:
            time.sleep(0.001)  # the map goes on, too
    stop.set()
    mapper.join()
    # A chunk is 25 ms, the map an hour; the rest is for a machine that has other work.
    assert sorted(waits)[len(waits) // 2] < 0.3, waits


def test_waiting_is_bounded_in_time(make_engine, run_on, tmp_path):
    run = run_on(make_engine(cpu_slots=1, queue_timeout=0.2))
    other = run_on(make_engine(cpu_slots=1))
    note = tmp_path / "pid"
    holding = threading.Thread(target=lambda: other.outcome("hold_the_gil", path=str(note)))
    holding.start()
    while not note.exists():
        time.sleep(0.001)
    began = time.monotonic()
    with pytest.raises(Saturated) as refused:
        run.result("echo", value=1)
    assert 0.2 <= time.monotonic() - began < 3
    assert refused.value.retry_after > 0
    other.engine.close()
    holding.join()
    assert run.result("echo", value=1) == 1


def test_waiting_is_bounded_in_number(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1, queue_limit=2))
    run.result("echo", value=1)  # with the start of the fork server
    threads = [threading.Thread(target=lambda: run.outcome("spin", within=1.5, seconds=60)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(run.engine._ensure_pool().lines[1]) < 2:
        time.sleep(0.001)
    began = time.monotonic()
    with pytest.raises(Saturated):
        run.result("echo", value=1)
    assert time.monotonic() - began < 0.5
    for thread in threads:
        thread.join()
    assert run.result("echo", value=1) == 1


def test_waiting_tasks_leave_room_for_those_that_compute(make_engine, run_on):
    run = run_on(make_engine(processes=3))
    naps = threading.Thread(target=lambda: run.results("nap", [{"seconds": 0.5}] * 6))
    naps.start()
    while not _is_busy(run.engine):
        time.sleep(0.001)
    began = time.monotonic()
    run.result("echo", value=1)
    assert time.monotonic() - began < 0.4
    naps.join()


def _is_busy(engine):
    return bool(engine._ensure_pool()._busy)
