"""A process that owns an engine, as a Gunicorn worker does: ``python owner.py runtime-dir state note``."""

import signal
import sys
import threading
import time
from pathlib import Path

from service.engine.base import Call
from service.engine.local import LocalEngine
from service.tasks import registry

TASKS = "tests.integration.engine.hostile_tasks"
CALLS = {
    "idle": Call("echo", {"value": 1}),
    "python": Call("spin", {"seconds": 60}),
    "c": Call("hold_the_gil"),
}


def main() -> None:
    # Ignored in what a shell starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    registry.load([TASKS])
    engine = LocalEngine(modules=[TASKS], processes=4, cpu_slots=2, runtime_dir=Path(sys.argv[1]))
    list(engine.run([Call("echo", {"value": 0})] * 2, deadline=time.monotonic() + 20))
    call = CALLS[sys.argv[2]]
    # A daemon: at the end of the main thread, Python would wait for the others.
    work = threading.Thread(
        target=lambda: list(engine.run([call], deadline=time.monotonic() + 60)), daemon=True
    )
    work.start()
    if sys.argv[2] == "idle":
        work.join()
    print("ready", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
