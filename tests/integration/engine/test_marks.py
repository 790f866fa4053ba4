"""What a pool process marks in shared memory can be read at any moment."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from service.engine.transport import Arena

ROOT = Path(__file__).resolve().parents[3]

#: Two times with no byte in common.
TIMES = (1234.56789, 98765.4321)

WRITER = f"""
import sys
from service.engine.transport import Arena
arena = Arena(int(sys.argv[1]))
for number in range(200_000):
    arena.mark_start({TIMES}[number % 2])
    arena.commit(1 + number % 2)
"""


def test_a_mark_is_the_old_one_or_the_new_one_and_nothing_between():
    with closing(Arena.create()) as arena:
        arena.mark_start(TIMES[0])
        arena.commit(1)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", WRITER, str(arena.fd)]
        writer = subprocess.Popen(command, pass_fds=[arena.fd], env=environment)
        seen: set[int | float] = set()
        while writer.poll() is None:
            for _ in range(1000):
                seen.update((arena.started, arena.committed))

    assert writer.returncode == 0
    assert seen <= {*TIMES, 1, 2}
