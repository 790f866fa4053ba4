"""Tasks that show what a call costs by itself; ``advise`` alone has them."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from service.tasks import task
from service.tasks.arrays import Array

NOOP, ECHO, PAUSE = "advise.noop", "advise.echo", "advise.pause"


@task(name=NOOP)
def noop() -> None:
    """Do nothing."""


@task(name=ECHO)
def echo(values: Array) -> Array:
    """Give back what came."""
    return values


@task(name=PAUSE, cpu=0)
def pause(seconds: Annotated[float, Field(ge=0, le=1)]) -> None:
    """Wait."""
    time.sleep(seconds)
