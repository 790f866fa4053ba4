"""The page of the documentation that tells of runs: each command writes its own part of it."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.http_servers import ROOT
from service.cpus import available_cpus

#: What each core is worth at least, beside one process alone, for figures to be comparable.
STEADY = 0.8
PAGE = ROOT / "docs" / "explanation" / "load-test-report.md"


class NoSuchPart(LookupError):
    """The page has no place for that part."""


def publish(part: str, lines: Sequence[str], pictures: Sequence[Path], page: Path = PAGE) -> None:
    """Put lines in between the marks of ``part``, and pictures beside the page."""
    mark = re.compile(rf"(<!-- {part}: [^\n]*-->\n).*?(<!-- end of {part} -->)", re.DOTALL)
    before = page.read_text()
    if not mark.search(before):
        raise NoSuchPart(f"{page} has no part {part!r}, from <!-- {part}: … --> to <!-- end of {part} -->")
    body = "\n".join(lines).strip() + "\n"
    page.write_text(mark.sub(lambda found: f"{found[1]}\n{body}\n{found[2]}", before))
    for picture in pictures:
        shutil.copyfile(picture, page.parent / picture.name)


def worth(before: float, after: float) -> str:
    """Say what the cores were worth while something was measured, and whether that allows to compare."""
    said = f"plain processes on all cores did {before:.2f} x as much as one before it, {after:.2f} x after it"
    if min(before, after) >= STEADY * available_cpus():
        return said
    return f"{said}: **the machine did not have its cores all the time, so its rows can't be compared**"


def origin(target: str, heading: Sequence[str], worth: str, host: str | None = None) -> str:
    """Say how a run was asked for, and on which machine; for a service at ``host`` that is the asker's."""
    machine = f"{'; '.join(heading)}; {worth}"
    if not host:
        return f"`{command(target)}` on {machine}."
    return f"`{command(target)}` asked {host}. The machine is the asker's, and what it is worth: {machine}."


def command(target: str) -> str:
    """Return how this run was asked for, by make."""
    arguments = shlex.join(sys.argv[1:])
    return shlex.join(["make", target, *([f"ARGS={arguments}"] if arguments else [])])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table, the first row its head, all but the first column to the right."""
    head, *others = rows
    ruler = ["---", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, ruler, *others)]
