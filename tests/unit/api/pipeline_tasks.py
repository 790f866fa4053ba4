"""Pipelines that end in every way a pipeline can end, as their items say."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from service.tasks import InvalidInput, Pipeline, Stage

#: Items that a stage has no result for, one for each reason.
SECRET, UNFIT, DEADLY, SLOW = 13, 14, 15, 16
#: Items whose results have no form in JSON.
NAN = 17
#: What the producer itself fails at.
BROKEN = -1


def wait_for(mark: str) -> None:
    while not Path(mark).exists():
        time.sleep(0.01)


def numbers(items: list[int], mark: str = "/") -> Iterator[int]:
    """Yield what is given; what comes behind the first only when there is a file."""
    for i, item in enumerate(items):
        if i == 1:
            wait_for(mark)
        if item == BROKEN:
            raise OSError("secret disk failed")
        yield item


def work(item: int) -> Any:
    """Return the item, or don't."""
    if item == SECRET:
        raise RuntimeError("secret plan failed")
    if item == UNFIT:
        raise InvalidInput("the moon is not full")
    if item == DEADLY:
        os._exit(3)
    if item == SLOW:
        time.sleep(60)
    return float("nan") if item == NAN else item


def total(items: Iterable[int]) -> int:
    return sum(items)


def letters(data: bytes, times: int = 1, mark: str = "/") -> Iterator[bytes]:
    """Yield the data, a byte each time; what comes behind the first only when there is a file."""
    for i, letter in enumerate(data * times):
        if i == 1:
            wait_for(mark)
        yield bytes([letter])


def shout(letter: bytes) -> bytes:
    """Return the letter in upper case, and nothing for a space."""
    if letter == b"!":
        raise RuntimeError("secret plan failed")
    if letter == b"?":
        return cast("bytes", "?")
    if letter == b"#":
        raise InvalidInput("no letter")
    return letter.strip().upper()


Pipeline("unit.numbers", numbers, Stage(work, timeout=1.0, name="work"), buffer=4, description="Numbers.")
Pipeline("unit.total", numbers, Stage(work, cpu=0), total, timeout=20)
Pipeline("unit.shout", letters, shout, media_type="text/plain; charset=utf-8")
