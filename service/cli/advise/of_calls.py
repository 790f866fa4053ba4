"""Advice on one task: how it should be declared, and how it should be called."""

from __future__ import annotations

from service.cli.advise import model
from service.cli.advise.advice import Advice, Case
from service.cli.advise.model import FanOut
from service.cli.advise.units import count, seconds
from service.engine.estimates import CHUNK_SECONDS

#: Items of the map that is spoken of.
_ITEMS = 1000


def declared_cpu(case: Case) -> Advice:
    """Say what the task should declare as its ``cpu``."""
    task = case.task
    fitting = 0 if task.share < model.WAITS else 1
    what = "computes" if task.share >= model.COMPUTES else "computes and waits by turns"
    as_it_is = "as it declares" if fitting == task.cpu else f"it declares cpu={task.cpu}"
    return Advice(
        "slots of a call",
        "cpu",
        fitting,
        f"cpu={fitting}: it {what if fitting else 'waits'}; {as_it_is}.",
        f"{task.share:.0%} of its run time is CPU time; below {model.WAITS:.0%} a slot would stand idle",
    )


def parallel(case: Case) -> Advice:
    """Say whether a fan-out is sooner done than the same calls one after another."""
    fan_out, alone, widest = _fan_out(case), case.task.run.median, case.widest
    because = (
        f"a call runs {seconds(alone)} alone and {seconds(fan_out.beside)} beside others, {fan_out.width} at"
        f" a time; {seconds(fan_out.start)} for the whole and {seconds(fan_out.each)} an item on top"
    )
    if widest is not None:
        faster = model.speed_up(widest, alone)
        because += f"; measured: {count(widest.items)} calls, {faster:.2f} times as fast as one by one"
    else:
        because += "; how calls go beside each other was not measured"
    pays = fan_out.pays_from()
    if pays is None:
        why = "there is one at a time" if fan_out.width == 1 else "make items larger, or use one call"
        return Advice("parallel", None, None, f"A fan-out does not pay: {why}.", because)
    many = max(pays, 10 * fan_out.width)
    return Advice(
        "parallel",
        None,
        pays,
        f"A fan-out pays from {pays} items on; {many} take {seconds(fan_out.seconds(many))} in place of"
        f" {seconds(fan_out.one_by_one(many))} one after another in the request's thread.",
        because,
    )


def _fan_out(case: Case) -> FanOut:
    each = 1 / case.figures.engine.map_rate if case.widest is None else model.per_item(case.widest)
    return FanOut(case.task.run.median, case.run, case.task.overhead, each, case.width)


def chunk(case: Case) -> Advice:
    """Say how many items the engine would send at a time."""
    run = case.task.run.median
    items = model.chunk(run, _ITEMS, case.width)
    text = f"Nothing to set: of a map of {_ITEMS} items the engine sends {items} at a time."
    if items == 1:
        text += " An item is long enough to travel alone."
    elif case.widest is not None and model.per_item(case.widest) > run:
        text += " Let an item hold more work: it costs more to send than to do."
    return Advice(
        "chunk",
        None,
        items,
        text,
        f"as many as take {seconds(CHUNK_SECONDS)} at {seconds(run)} each, and no more than a part for each"
        f" of {case.width}",
    )


def timeout(case: Case) -> Advice:
    """Say which timeout the task should declare."""
    task = case.task
    slowest = max(task.run.p99, task.first)
    wanted = model.timeout(slowest)
    declares = "no timeout" if task.timeout is None else f"timeout={task.timeout:g}"
    return Advice(
        "timeout",
        "timeout",
        wanted,
        f"timeout={wanted:g}, if these arguments are the largest; it declares {declares}.",
        f"{model.TIMEOUT_FACTOR:g} x {seconds(slowest)}, the longer of p99 of {task.run.count} calls"
        f" ({seconds(task.run.p99)}) and the first in a process ({seconds(task.first)}); at least"
        f" {model.LEAST_TIMEOUT:g} s",
    )
