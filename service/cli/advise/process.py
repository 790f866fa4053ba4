"""What the kernel tells of a pool process: memory, and time that it waited for a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one process, in bytes."""

    #: Its part of what it uses, when what is shared is divided by those who share it.
    proportional: int
    #: Most that was resident at a time, with all that is shared.
    peak: int

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Read what the kernel tells of a process; raises ``OSError`` when it is gone."""
        folder = Path("/proc", str(pid))
        return cls(_bytes(folder / "smaps_rollup", "Pss"), _bytes(folder / "status", "VmHWM"))


def _bytes(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        label, _, rest = line.partition(":")
        if label == name:
            return int(rest.split()[0]) * 1024
    raise OSError(f"{path} has no {name}")


def waited_for_cpu(pid: int) -> float:
    """Return the seconds that a process was ready to run and had no CPU; 0 where nobody counts."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
