"""A runner with another time of day: ``python -m tests.e2e.jobs_jumping HOURS``.

It is that many hours early. Without HOURS it jumps, to an hour early and an hour late by turns, every second.
Only ``time.time`` does so, as when somebody sets the clock; ``time.monotonic`` is what it is.
"""

import sys
import time

HOUR = 3600.0
_true_time = time.time


def _jumping_time() -> float:
    return _true_time() + (HOUR if int(time.monotonic()) % 2 else -HOUR)


def main() -> None:
    if sys.argv[1:]:
        hours = float(sys.argv[1])
        time.time = lambda: _true_time() + hours * HOUR
    else:
        time.time = _jumping_time
    from service.__main__ import main as run

    run(["runner"])


if __name__ == "__main__":
    main()
