"""A script in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_alone(script: str) -> str:
    """Run Python, and return what it prints.

    It is not measured by coverage: benchmarks end processes by signals, and coverage's own handler of SIGTERM
    does not survive one that comes while it stops.
    """
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
