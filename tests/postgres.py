"""A real PostgreSQL server for tests, of the version that is installed."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg
from psycopg import conninfo

from tests.e2e.running import is_gone, wait_until

MISSING = "PostgreSQL is not installed; on Debian and Ubuntu: apt install postgresql"
PACKAGES = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # As durable as in production, or crashes would prove nothing.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}


def find_programs(packages: Path = PACKAGES) -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``: that of PATH, else the newest version's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = (program.parent for program in packages.glob("*/bin/initdb"))
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


class PostgresServer:
    """One server with its data in a folder of its own, which only a Unix socket leads to.

    As a context manager it is started, and in the end stopped and its folder removed. It ends with the
    thread that started it, however that ends.
    """

    def __init__(self) -> None:
        programs = find_programs()
        assert programs, MISSING
        self._programs = programs
        # A Unix socket's path has room for 107 bytes, too few for the folders of pytest.
        self.folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self.log = self.folder / "log"
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server's main process, which it calls the postmaster."""
        assert self._process, "it does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it, with the data that it had before, and return when it answers."""
        assert not self._process, "it runs already"
        if not self._data.exists():
            self._create_data()
        settings = (f"--{name}={value}" for name, value in SETTINGS.items())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-k", self.folder, *settings),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for pytest, which stops the server in its turn
            )
        wait_until(self._answers, 30, self.log.read_text)

    def stop(self) -> None:
        """Stop it as an administrator does: clients are cut off, the data is written. May be repeated."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def kill(self) -> None:
        """Kill all of its processes at once, as a crash does; ``start`` recovers what was committed."""
        postmaster = psutil.Process(self.pid)
        # Halted, it starts no process that would be missed here, and none notices that another is gone.
        postmaster.suspend()
        wait_until(lambda: postmaster.status() == psutil.STATUS_STOPPED, 10, lambda: "it goes on")
        processes = [*postmaster.children(recursive=True), postmaster]
        for process in processes:
            process.kill()
        assert self._process
        self._process.wait()
        self._process = None
        wait_until(lambda: all(map(is_gone, processes)), 10, lambda: f"left: {processes}")

    def close(self) -> None:
        """Stop it and remove its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql:///{database}?host={self.folder}&user=postgres"

    def new_database(self) -> str:
        """Create an empty database and return its address."""
        name = f"test{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is connected to it: each takes 7 MB."""
        name = conninfo.conninfo_to_dict(url)["dbname"]
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _create_data(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        options = ("--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
        command = self._command("initdb", *options)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _command(self, program: str, *arguments: str | Path) -> list[str | Path]:
        # They refuse to run as root.
        user = ("--reuid=postgres", "--regid=postgres", "--init-groups") if os.geteuid() == 0 else ()
        path = self._programs / program
        return ["setpriv", "--pdeathsig=QUIT", *user, path, "-D", self._data, *arguments]

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log.read_text()
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True
