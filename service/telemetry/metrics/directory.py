"""The folder in which the processes of one service keep their metrics."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import ConfigurationError

#: Tells a process where to keep its metrics; prometheus-client's own name for it.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Folder:
    """A new folder below ``runtime_dir``, which is this service's for as long as it lives.

    Several services may share a ``runtime_dir``. A lock tells whose folder is still in use; the others,
    left by services that were killed, are removed.
    """

    def __init__(self, runtime_dir: Path) -> None:
        """Make it, or raise ``ConfigurationError``."""
        parent = runtime_dir.resolve() / "metrics"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with _locked(parent):
                # Nobody else makes one now, which would not be locked yet.
                for left in parent.iterdir():
                    _remove_unless_in_use(left)
                self.path = Path(tempfile.mkdtemp(dir=parent, prefix=""))
                self._lock = _open(self.path)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise ConfigurationError(
                f"SERVICE_RUNTIME_DIR: no metrics can be kept in {parent}: {error.strerror}"
            ) from error

    def share(self) -> None:
        """Have all processes that this one starts from now on keep their metrics here."""
        os.environ[VARIABLE] = str(self.path)

    def remove(self) -> None:
        """Remove it; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    fd = _open(folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _remove_unless_in_use(folder: Path) -> None:
    try:
        fd = _open(folder)
    except OSError:
        return  # no folder, and none of ours
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
