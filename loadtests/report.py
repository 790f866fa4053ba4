"""What all reports have in common: the machine, medians with their spread, cells under each other, a file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import psutil

Json = dict[str, Any]

#: Of every command that has a report.
json_option = click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here."
)


def machine() -> Json:
    """Say where it was measured."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": psutil.virtual_memory().total // 1_000_000,
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return models[0] if models else "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python and of those packages that have one."""
    found = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass  # comes with Python, or is the project itself
    return found


def heading(machine: Json, versions: dict[str, str]) -> list[str]:
    """Return the two lines above every table."""
    return [
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['system']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]


def summary(numbers: Sequence[float]) -> Json:
    """Return the median, the quartiles and all samples."""
    q1, median, q3 = (
        statistics.quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else [*numbers] * 3
    )
    rounded = [round(number, 3) for number in numbers]
    return {"value": round(median, 3), "q1": round(q1, 3), "q3": round(q3, 3), "samples": rounded}


def cell(value: float | str | None) -> str:
    """Word one figure in few characters."""
    if value is None:
        return "n/a"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def publish(text: str, report: Json, path: Path | None) -> None:
    """Print the table, and write the document if there is a path for it."""
    click.echo(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        click.echo(f"\nwritten: {path}")


def verdict(*, reached: bool | None) -> str:
    """Word how a goal was met; ``None`` means not at all."""
    return {True: "reached", False: "MISSED", None: "not measured"}[reached]


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Put cells under each other, the first two columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
