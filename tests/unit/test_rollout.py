"""What ``make deploy`` does when Docker does not answer; all else is shown with a real engine."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: One container of web runs, and the engine can't say in which networks it is.
DOCKER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    *" config") echo 'name: "x"' ;;
    "network ls"*) echo x_front ;;
    ps*service=web*) echo serving ;;
    *State.Status*) echo running ;;
    *NetworkSettings*) exit 1 ;;
esac
"""


def test_a_container_of_which_it_can_not_tell_is_not_taken_for_left_over(tmp_path: Path) -> None:
    docker, calls = tmp_path / "docker", tmp_path / "calls"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), "TMPDIR": str(tmp_path)}

    ran = subprocess.run(
        ["sh", ROOT / "deploy/compose/rollout.sh", "-n"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "web is as it should be" in ran.stderr
    assert "NetworkSettings" in calls.read_text()
    assert "rm --force" not in calls.read_text()
