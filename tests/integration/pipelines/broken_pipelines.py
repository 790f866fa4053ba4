"""For each place in a pipeline one that breaks there, in whatever way it is told."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from service.tasks import Pipeline, Stage

#: Seconds that an item may take where one takes too long.
LIMIT = 0.3
#: Item that breaks it, and how many there are.
BAD, ALL = 5, 12


class Grudge:
    """Travels, but can't be unpacked."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise RuntimeError("I stay packed")


class Bomb:
    """Takes the process that unpacks it along."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> NoReturn:
    os._exit(7)


class Heavy:
    """Takes more memory to be unpacked than there is."""

    def __reduce__(self) -> Any:
        return bytearray, (1 << 40,)


Thing = tuple[int, Any]


def break_down(thing: Thing) -> Thing:
    """Do something bad if the item says so."""
    number, how = thing
    match how:
        case "unsendable":
            return number, lambda: None
        case "grudge":
            return number, Grudge()
        case "bomb":
            return number, Bomb()
        case "heavy":
            return number, Heavy()
    _break_at_once(how)
    return thing


def _break_at_once(how: str) -> None:
    match how:
        case "raise":
            raise ValueError("as it was told")
        case "leave":
            raise SystemExit(3)
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            time.sleep(60)
        case "hold_the_gil":
            _ = (10**7) ** (10**8)
        case "too_much":
            bytearray(1 << 32)


def things(how: str) -> Iterator[Thing]:
    """Yield items of which one is bad."""
    for number in range(ALL):
        yield number, how if number == BAD else ""


def break_while_producing(how: str) -> Iterator[Thing]:
    """Break down in the middle."""
    for thing in things(how):
        yield break_down(thing)


def break_while_spreading(thing: Thing) -> Iterator[Thing]:
    """Yield each item, perhaps break down, and yield it again."""
    yield thing[0], ""
    yield break_down(thing)


def break_with_all(every: Iterator[Thing]) -> Iterator[Thing]:
    """Break down at one of all."""
    for thing in every:
        yield break_down(thing)


def break_silently(thing: Thing) -> None:
    """Pass nothing on."""
    break_down(thing)


def let_pass(thing: Thing) -> Thing:
    """Change nothing."""
    return thing


def _register(name: str, limit: float) -> None:
    def stage(work: Any, processes: int = 1, *, ordered: bool = True) -> Stage:
        return Stage(work, processes=processes, ordered=ordered, timeout=limit, name="broken")

    Pipeline(f"{name}_producer", stage(break_while_producing), let_pass, buffer=2)
    Pipeline(f"{name}_single", things, stage(break_down), let_pass, buffer=2)
    Pipeline(f"{name}_ordered", things, stage(break_down, 3), let_pass, buffer=2)
    Pipeline(f"{name}_unordered", things, stage(break_down, 3, ordered=False), let_pass, buffer=2)
    Pipeline(f"{name}_spread", things, stage(break_while_spreading), let_pass, buffer=2)
    Pipeline(f"{name}_spreads", things, stage(break_while_spreading, 2), let_pass, buffer=2)
    Pipeline(f"{name}_whole", things, stage(break_with_all), let_pass, buffer=2)
    Pipeline(f"{name}_last", things, let_pass, stage(break_down), buffer=1)
    Pipeline(f"{name}_last_of_many", things, let_pass, stage(break_down, 3), buffer=16)
    Pipeline(f"{name}_sink", things, let_pass, stage(break_silently, 2), buffer=2)


_register("t_broken", limit=30.0)
_register("t_hanging", LIMIT)
