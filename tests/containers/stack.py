"""A copy of the checkout, started by ``docker compose`` as somebody would who has just cloned it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.running import ROOT, free_port, wait_until

#: Seconds that a command may take, and that one which builds an image may.
QUICK, SLOW = 120.0, 300.0
SERVICES = ("proxy", "web", "runner", "postgres")
#: Where the programs and the engine are: all of the environment that counts, for the rest may hold settings.
KEPT = ("PATH", "HOME", "DOCKER_", "BUILDX_", "XDG_", "SSH_AUTH_SOCK")


def environment(**variables: str) -> dict[str, str]:
    """Return what ``docker`` gets to see of the environment, and ``variables``."""
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT)} | variables


def run(*command: str, folder: Path = ROOT, timeout: float = QUICK, **variables: str) -> str:
    """Run a command; return its output, or fail with what it said."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    output = ran.stdout.decode(errors="replace")
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.returncode}\n{output}\n{ran.stderr.decode()}"
    return output


def why_no_engine() -> str | None:
    """Return why there is no Docker engine to be used, ``None`` when there is one."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    try:
        run("docker", "version", "--format", "{{.Server.Version}}", timeout=20)
        run("docker", "compose", "version", timeout=20)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return str(error).strip()
    return None


def copy_of_the_checkout(folder: Path) -> None:
    """Copy what is or could be in the repository, and so not ``.env``."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # one that is deleted is listed too
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class Stack:
    """One compose project, with a name, an image and ports of its own."""

    def __init__(self, folder: Path, image: str = "", proxy: str = "") -> None:
        self.folder = folder
        self.project = f"everycore-test-{uuid.uuid4().hex[:8]}"
        self.image = image or self.project
        self.proxy_image = proxy or f"{self.image}-proxy"
        ports = {f"{name}_PORT": str(free_port()) for name in ("WEB", "LOCUST", "PROMETHEUS", "GRAFANA")}
        self.variables = {"EVERYCORE_IMAGE": self.image, "PROXY_IMAGE": self.proxy_image, **ports}
        self.url = f"http://127.0.0.1:{ports['WEB_PORT']}"

    def compose(self, *arguments: str, timeout: float = QUICK, **variables: str) -> str:
        """Run ``docker compose`` with some arguments."""
        return self.run("docker", "compose", "-p", self.project, *arguments, timeout=timeout, **variables)

    def run(self, *command: str, timeout: float = QUICK, **variables: str) -> str:
        """Run another command as ``docker compose`` would be, with the same variables."""
        return run(*command, folder=self.folder, timeout=timeout, **(self.variables | variables))

    def up(self, *arguments: str, **variables: str) -> None:
        """Start everything, or what is named; return when it is healthy."""
        try:
            self.compose("up", "-d", "--wait", "--wait-timeout", "100", *arguments, timeout=SLOW, **variables)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def logs(self, *services: str) -> str:
        """Return the last lines that the containers wrote."""
        return self.compose("logs", "--no-color", "--tail", "40", *services)

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a container."""
        return self.compose("exec", "-T", service, *command)

    def is_ready(self) -> bool:
        """Tell whether a worker can do all it is for; it says no too when a look at its store took long."""
        answer = httpx.get(f"{self.url}/readyz", timeout=60)
        return answer.status_code == 200 and answer.json()["checks"]["store"] == "ready"

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what the engine knows about containers, stopped ones too."""
        for _ in range(20):
            try:
                ids = self.compose("ps", "-aq", *services).split()
                found: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids)) if ids else []
            except AssertionError as error:
                if "no such" not in str(error).lower():
                    raise
                # One was removed between the two looks, or within the first.
            else:
                return found
        raise AssertionError(f"containers of {services} come and go")

    def container(self, service: str) -> dict[str, Any]:
        """Return what the engine knows about the one container of a service."""
        (found,) = self.containers(service)
        return found

    def status_of(self, service: str, name: str) -> str:
        """Return a line of ``/proc/1/status`` in a container: of its first process."""
        lines = self.execute(service, "cat", "/proc/1/status").splitlines()
        (found,) = (line.partition(":")[2] for line in lines if line.startswith(f"{name}:"))
        return found.strip()

    def kill_main_process(self, service: str) -> None:
        """End what a container is there for as an out-of-memory kill would: the child of its first process.

        ``docker kill`` would not do: whom an operator has killed is not started again.
        """
        self.execute(service, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the document at a path of the published port."""
        answer = httpx.get(f"{self.url}{path}", timeout=60, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def left(self) -> str:
        """Return the ids of all that there is of this project."""
        label = ("--filter", f"label=com.docker.compose.project={self.project}", "-q")
        return "".join(
            run("docker", *what, *label) for what in (("ps", "-a"), ("volume", "ls"), ("network", "ls"))
        )

    def clean_up(self) -> None:
        """Remove everything, healthy or not."""
        every_profile = ("--profile", "*")
        self.compose(*every_profile, "down", "-v", "--remove-orphans", "--timeout", "10", timeout=SLOW)


#: The same as ``wait_until``, for looks that may run a command each.
eventually = functools.partial(wait_until, pause=0.2)
