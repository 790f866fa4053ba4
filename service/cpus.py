"""How many CPUs this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_cpus(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the CPUs of the affinity mask, or fewer when a cgroup quota (version 1 or 2) allows fewer.

    A quota of 1.5 CPUs counts as 1: the web side lives on the rest. Counted as 2, full slots would use the
    quota up, and the kernel would then stop every thread, health checks included, until the next period.
    """
    quota = cpu_quota(cgroups, membership)
    allowed = len(os.sched_getaffinity(0))
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def cpu_quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Return the CPUs that the tightest cgroup quota allows, ``None`` without one."""
    found = (_quota(folder) for folder in cgroup_folders("cpu", cgroups, membership))
    return min((quota for quota in found if quota is not None), default=None)


def cgroup_folders(controller: str, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """Yield every folder whose limits count: this process's cgroup and all above it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots = [cgroups, cgroups / "unified"]
        elif controller in controllers.split(","):
            roots = [cgroups / controller, cgroups / controllers]
        else:
            continue
        for root in roots:
            # In a container the path may be the host's and not be there: what counts then is the root.
            here = root / path.lstrip("/")
            yield from (folder for folder in (here, *here.parents) if folder.is_relative_to(root))


def _quota(folder: Path) -> float | None:
    """Return the CPUs that a cgroup may use, ``None`` for no limit or nothing to read."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
