"""Locust beside whatever a test does to the service that it asks."""

import re
import subprocess
from pathlib import Path
from typing import Self

from tests import load_tests
from tests.containers.stack import eventually
from tests.unit.pages import ROOT


class Locust:
    """Locust with its mix of all scenarios, for as long as the block runs."""

    OBJECTIVES = "[default]\nrequests = 0\nfailures = 0.0\nrefusals = 0.0\n\n[total]\nrequests = 50\n"

    def __init__(self, folder: Path, url: str) -> None:
        """Leave its objectives and what it says in ``folder``."""
        self._log = folder / "locust.log"
        self._folder = folder
        objectives = folder / "slo.toml"
        objectives.write_text(self.OBJECTIVES)
        self._command = [
            *(str(load_tests.PYTHON), "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")),
            *(
                "--headless",
                "--host",
                url,
                "--slo",
                str(objectives),
                "-u",
                "6",
                "-r",
                "6",
                "-t",
                "300s",
                "-s",
                "30",
            ),
        ]
        self.status: int | None = None

    def __enter__(self) -> Self:
        """Return when it has had answers."""
        with self._log.open("wb") as log:
            self._run = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=load_tests.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: self._requests() > 0, 60, self.said)
        return self

    def __exit__(self, *_: object) -> None:
        """Have it let each user get the last answer, and tell."""
        self._run.terminate()
        try:
            self.status = self._run.wait(timeout=60)
        finally:
            self._run.kill()
            self._run.wait()

    def said(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text()

    def wait_for_answers(self, seconds: float) -> None:
        """Wait until it has had more answers than now."""
        before = self._requests()
        eventually(lambda: self._requests() > before, seconds, self.said)

    def _requests(self) -> int:
        found = re.findall(r"^ *Aggregated +(\d+)", self.said(), re.MULTILINE)
        return int(found[-1]) if found else 0
