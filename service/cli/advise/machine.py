"""CPUs and memory that this process may use, as the kernel tells."""

from __future__ import annotations

import os
from pathlib import Path

from service.cli.advise.figures import Machine
from service.cpus import CGROUPS, MEMBERSHIP, available_cpus, cgroup_folders, cpu_quota

MEMINFO = Path("/proc/meminfo")
#: Version 1 writes a number near 2**63 for "no limit".
_NO_LIMIT = 2**60


def look(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP, meminfo: Path = MEMINFO) -> Machine:
    """Look at this machine."""
    total, available = _memory(meminfo)
    limit = None
    for folder in cgroup_folders("memory", cgroups, membership):
        if (found := _limit(folder)) is not None:
            limit = found if limit is None else min(limit, found)
            available = min(available, max(0, found - _used(folder)))
    return Machine(
        cpus=os.cpu_count() or 1,
        affinity=len(os.sched_getaffinity(0)),
        quota=cpu_quota(cgroups, membership),
        usable=available_cpus(cgroups, membership),
        load=os.getloadavg()[0],
        memory=total,
        available=available,
        memory_limit=limit,
    )


def _memory(meminfo: Path) -> tuple[int, int]:
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def _limit(folder: Path) -> int | None:
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    return limit if limit is not None and limit < _NO_LIMIT else None


def _used(folder: Path) -> int:
    """Return what a cgroup can't do without: cached files that nobody has used of late make room."""
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
    try:
        stat = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return used
    return max(0, used - int(stat.get("total_inactive_file", stat.get("inactive_file", "0"))))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None  # not there, or "max"
