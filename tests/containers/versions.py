"""Versions of one image: the one that was built, and tasks upon it that tell which version they are."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.containers.stack import SLOW, Stack, environment, run
from tests.e2e.steady_load import write_tasks

IMAGE = """
FROM {base}
COPY --chmod=644 *.py /tasks/
COPY --chmod=755 migrations /app/service/jobs/migrations/
ENV PYTHONPATH=/tasks SERVICE_TASK_MODULES=steady_tasks
"""
#: Tasks that clients of the proxy need. What they leave in /tmp can be seen from outside.
MORE = '''
import itertools, os
from pathlib import Path

@task(cpu=0)
def gated() -> Iterator[str]:
    """Yield twice; the second time when a file is there."""
    Path(f"/tmp/at-work-{os.getpid()}").touch()
    yield "first"
    while not Path("/tmp/go").exists():
        time.sleep(0.01)
    yield "second"

@task
def spin() -> int:
    """Compute for ever."""
    Path(f"/tmp/at-work-{os.getpid()}").touch()
    return sum(1 for _ in itertools.count())
'''


class Versions:
    """A stack whose image is made anew, and the number of the last one."""

    def __init__(self, built: Stack, folder: Path) -> None:
        """``folder`` takes what the images are made of."""
        self.stack = Stack(built.folder, proxy=built.proxy_image)
        self.last = 0
        self._base = built.image
        self._folder = folder
        self._migrations = folder / "migrations"
        self._migrations.mkdir()

    def make(self, more: str = "", *, migration: bool = False) -> int:
        """Make the next version, which nobody runs yet, with ``more`` in its module; return its number.

        It, and all later ones, may have one migration more than those before.
        """
        self.last += 1
        if migration:
            file = self._migrations / f"{9000 + self.last}_later.sql"
            file.write_text(f"CREATE TABLE later_{self.last} (n BIGINT);\n")
        write_tasks(self._folder, self.last, MORE + more)
        (self._folder / "Dockerfile").write_text(IMAGE.format(base=self._base))
        run("docker", "build", "--quiet", "--tag", self.stack.image, str(self._folder), timeout=SLOW)
        return self.last

    def deploy(self, *options: str, **variables: str) -> str:
        """Run ``make deploy`` with the image that is there; return what it said."""
        arguments = " ".join(("-n", "-p", self.stack.project, *options))
        return self.stack.run(
            "sh", "-c", 'make -s deploy ARGS="$0" 2>&1', arguments, timeout=SLOW, **variables
        )

    def running(self) -> int:
        """Return how many of them run; one that only tells what it is made of does not."""
        found = self.stack.containers("web")
        return sum(each["State"]["Status"] == "running" for each in found)

    @contextlib.contextmanager
    def deploying(self) -> Iterator[subprocess.Popen[bytes]]:
        """Have the script at work, in a process group of its own, while the block runs."""
        command = ["deploy/compose/rollout.sh", "-n", "-p", self.stack.project]
        variables = environment(**self.stack.variables)
        log = self._folder / "deploy.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=self.stack.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def web(self) -> list[str]:
        """Return the ids of the containers of web, without those for one command."""
        label = "com.docker.compose.oneoff"
        found = self.stack.containers("web")
        return sorted(each["Id"] for each in found if each["Config"]["Labels"][label] == "False")
