"""Advice on settings: slots, processes, workers, threads, memory; and what the machine can do with them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from service.cli.advise import model, queueing
from service.cli.advise.advice import Advice, Case
from service.cli.advise.figures import Figures
from service.cli.advise.model import Capacity
from service.cli.advise.units import count, seconds, size


def slots_of_machine(figures: Figures) -> Advice:
    """Say how many CPU slots there should be for tasks that compute."""
    cpus = figures.machine.usable
    return Advice("CPU slots", "SERVICE_CPU_SLOTS", cpus, f"{cpus}: one for each CPU.", _cpus(figures))


def slots(case: Case) -> Advice:
    """Say how many there should be for this task."""
    of_machine, task, best = slots_of_machine(case.figures), case.task, case.best
    cpus = case.figures.machine.usable
    because = f"{of_machine.because}; {task.share:.0%} of the run time is CPU time"
    if not task.cpu:
        return Advice(
            "CPU slots", "SERVICE_CPU_SLOTS", cpus, f"{of_machine.text} This task takes none.", because
        )
    if task.paces:
        because += "; calls/s by slots: " + ", ".join(f"{p.slots}: {count(p.rate)}" for p in task.paces)
    wanted = model.slots(task.share, task.run.median, cpus)
    text = f"{wanted}: then all CPUs are busy, and no more than that."
    if best is not None and best.slots < min(wanted, task.paces[-1].slots):
        wanted = best.slots
        text = f"{wanted}: with {task.paces[-1].slots} it is not faster, and each call takes longer."
    return Advice("CPU slots", "SERVICE_CPU_SLOTS", wanted, text, because)


def capacity_of(case: Case) -> Capacity:
    """Return what the machine can do with the settings as they are."""
    settings = case.settings
    return model.capacity(
        run=case.run,
        share=case.task.share,
        overhead=case.request_cpu,
        servers=case.width if case.task.cpu else settings.web_workers * case.width,
        cpus=case.figures.machine.usable,
        declared=case.task.cpu,
    )


def processes(case: Case) -> Advice:
    """Say how many pool processes a worker should have."""
    settings = case.settings
    if case.task.cpu:
        need = settings.cpu_slots
        return Advice(
            "pool processes",
            "SERVICE_POOL_PROCESSES",
            need,
            f"{need} in each worker are enough for this task; more are for tasks with cpu=0 beside it.",
            f"one process for each of {settings.cpu_slots} CPU slots",
        )
    has = settings.pool_processes
    return Advice(
        "pool processes",
        "SERVICE_POOL_PROCESSES",
        has,
        f"{has} in each worker do {count(case.width / case.run)} calls/s of this task; each further one"
        f" {count(1 / case.run)} more, for {size(_one(case))} of memory.",
        f"a call keeps its process for {seconds(case.run)}, also while it waits; of {has} processes"
        f" {has - case.width} are kept for calls that compute",
    )


def web(case: Case, capacity: Capacity) -> Iterator[Advice]:
    """Say how many workers and threads the web side needs for that."""
    cpus, rate = case.figures.machine.usable, capacity.rate
    workers = model.workers(rate, case.request_cpu, cpus)
    yield Advice(
        "web workers",
        "SERVICE_WEB_WORKERS",
        workers,
        f"{workers} can read and answer as many requests as the machine can do.",
        f"{count(rate)} requests/s x {seconds(case.request_cpu)} of CPU beside the call"
        f" = {count(rate * case.request_cpu)} CPUs; a worker's Python has one, of which"
        f" {model.CPU_SHARE:.0%} are planned with",
    )
    rate *= model.PLANNED
    waits = queueing.wait(rate, capacity.service, capacity.servers, 0.99)
    inside = rate * (waits + case.run)
    threads = max(1, math.ceil(inside / workers))
    yield Advice(
        "web threads",
        "SERVICE_WEB_THREADS",
        threads,
        f"{threads} in each worker at least; more for bursts and open streams. It has"
        f" {case.settings.web_threads}.",
        f"at {model.PLANNED:.0%} load 99 of 100 wait at most {seconds(waits)} (M/M/c) and run"
        f" {seconds(case.run)}; {count(rate)} requests/s x {seconds(waits + case.run)} = {count(inside)} at a"
        f" time, {workers} workers",
    )


def memory(case: Case) -> Advice:
    """Say whether all pool processes fit into memory."""
    task, available = case.task, case.figures.machine.available
    workers, processes = case.settings.web_workers, case.settings.pool_processes
    one = _one(case)
    wanted, fitting = workers * processes * one, model.fitting_processes(available, one, workers)
    because = (
        f"{workers} workers x {processes} processes x {size(one)} = {size(wanted)}; of {size(available)} that"
        f" are available {model.MEMORY_SHARE:.0%} are planned with; a process has {size(task.own_memory)} of"
        f" its own and grew by {size(task.growth)}, to {size(task.peak)} with what it shares"
    )
    if fitting >= processes:
        text = f"All pool processes together may take {size(wanted)}: there is room."
        return Advice("memory", None, wanted, text, because)
    text = f"At most {fitting} pool processes in each worker, or fewer workers."
    if not fitting:
        text = "Fewer workers: there is no room for such a call in each of them."
    return Advice("memory", "SERVICE_POOL_PROCESSES", max(1, fitting), text, because)


def requests(case: Case, capacity: Capacity) -> Advice:
    """Say how many requests a second the machine can do."""
    rate = model.PLANNED * capacity.rate
    waits = queueing.wait(rate, capacity.service, capacity.servers, 0.95)
    because = (
        f"{capacity.servers} {capacity.bound} / {seconds(capacity.service)} a request; {model.PLANNED:.0%} of"
        f" that, M/M/c"
    )
    if case.best is not None:
        because += f"; in one map {count(case.best.rate)} calls/s were measured"
    if case.figures.web is None:
        because += "; what HTTP costs was not measured and is not in it"
    return Advice(
        "capacity",
        None,
        capacity.rate,
        f"{count(capacity.rate)} requests/s of one call each, on the whole machine. Plan with {count(rate)}:"
        f" of 100 that come at random 95 wait at most {seconds(waits)} before they run.",
        because,
    )


def _one(case: Case) -> int:
    """Return the memory that is one pool process's own at its peak."""
    return case.task.own_memory + case.task.growth


def _cpus(figures: Figures) -> str:
    machine = figures.machine
    quota = (
        "there is no cgroup quota" if machine.quota is None else f"the cgroup's quota is {machine.quota:g}"
    )
    return (
        f"{machine.usable} CPUs count: the machine has {machine.cpus}, the affinity mask allows"
        f" {machine.affinity}, {quota}"
    )
