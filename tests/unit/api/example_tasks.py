"""Tasks that end in every way a task can end."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel

from service.tasks import InvalidInput, task
from service.tasks.arrays import Array


class Model(BaseModel):
    n: int
    when: dt.date


@dataclass
class Pair:
    left: int
    right: float


@task(name="example.echo", timeout=7)
def echo(value: Any) -> Any:
    """Return what is given."""
    return value


@task(name="example.make")
def make(what: str) -> Any:
    """Return something of a kind that JSON does not have, or not quite."""
    kinds: dict[str, Any] = {
        "big": 10**30,
        "nan": [float("nan")],
        "inf": Pair(1, float("inf")),
        "huge": 10**5000,
        "object": object(),
        "model": Model(n=1, when=dt.date(2026, 11, 23)),
        "dataclass": Pair(1, 0.5),
        "date": dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        "array": np.arange(3),
        "number": np.int64(3),
        "set": {1},
        "inner bytes": [b"\xff"],
        "surrogate": "\ud800",
        "none": None,
        "keys": {(1, 2): 3},
        "circle": circle(),
    }
    return kinds[what]


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@task(name="example.count")
def count(n: int, end: str = "") -> Iterator[Any]:
    """Yield numbers."""
    if end == "refuse at once":
        raise InvalidInput("no")
    yield from range(n)
    if end == "nan":
        yield float("nan")
    if end == "bytes":
        yield [b"\xff", "a\nb"]


@task(name="example.fail")
def fail() -> None:
    """Fail."""
    raise RuntimeError("secret plan failed")


@task(name="example.refuse")
def refuse() -> None:
    """Find fault with the input."""
    raise InvalidInput("the moon is not full")


@task(name="example.measure", media_type="text/plain; charset=utf-8")
def measure(data: bytes, scale: int = 1, tags: tuple[str, ...] = (), *, loud: bool = False) -> bytes:
    """Tell how long the data is."""
    return f"{len(data) * scale}{'!' if loud else ''}{''.join(tags)}".encode()


@task(name="example.double")
def double(array: Array, by: float = 2, fail: str = "") -> Array:
    """Multiply an array by a number, or return something else."""
    wrong: dict[str, Any] = {"object": np.array([object()]), "nothing": None}
    return wrong[fail] if fail else array * by


def _lucky(n: int) -> int:
    if n < 0:
        raise ValueError("it is below 0")
    if n == 13:
        raise KeyError("secret plan")
    return n


@task(name="example.checked")
def checked(n: Annotated[int, AfterValidator(_lucky)]) -> int:
    """Return a number that a validator has looked at, which breaks at 13."""
    return n
