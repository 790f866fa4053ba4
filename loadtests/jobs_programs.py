"""The programs that jobs need: workers, Redis, PostgreSQL, each for as long as a block runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from loadtests.http_servers import START_LIMIT, Server, ServerFailed, program

Command = Sequence[str | Path]

NOTHING: Mapping[str, str] = {}

#: As durable as it can be told to be: what was answered is on disk.
REDIS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--port", "0")
#: The same, and its defaults, but for the connections.
POSTGRES = ("--fsync=on", "--synchronous_commit=on", "--listen_addresses=", "--max_connections=200")
POSTGRES_PACKAGES = Path("/usr/lib/postgresql")


@contextlib.contextmanager
def started(
    command: Command, folder: Path, variables: Mapping[str, str] = NOTHING, port: int = 0
) -> Iterator[Server]:
    """Do as ``program``, gently in the end; raise ``ServerFailed`` when it has ended by itself."""
    with program(command, folder, variables, port) as server:
        try:
            yield server
            if (status := server.status) is not None:
                raise ServerFailed(
                    f"{command[0]} ended with {status}; its log ends with:\n{server.log_tail()}"
                )
        finally:
            server.ask_to_end()


def find_redis() -> str | None:
    """Return Redis's server, if it is installed."""
    return shutil.which("redis-server")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Path]:
    """Run a new Redis that fsyncs whatever it is told before it answers; yield its Unix socket."""
    socket = folder / "redis"
    command = ("redis-server", "--dir", folder, "--unixsocket", socket, *REDIS)
    with started(command, folder) as server:
        # It makes the socket once it can answer.
        _wait_until(socket.exists, server)
        yield socket


def find_postgres() -> Path | None:
    """Return the folder with PostgreSQL's programs: that of PATH, else the newest version's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = (program.parent for program in POSTGRES_PACKAGES.glob("*/bin/initdb"))
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


@contextlib.contextmanager
def postgres() -> Iterator[Callable[[], str]]:
    """Run a new PostgreSQL; yield what makes a database in it and returns the database's URL."""
    import psycopg  # noqa: PLC0415 - it takes long, and not every run needs it

    programs = find_postgres()
    assert programs
    # Its socket's path has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="everycore-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = _user_of_postgres(folder)
        data = ("-D", folder / "data")
        options = ("--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
        initdb = (*user, programs / "initdb", *data, *options)
        subprocess.run(initdb, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        def url(database: str) -> str:
            return f"postgresql:///{database}?host={folder}&user=postgres"

        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(url("postgres")).close()
                return True
            return False

        def new_database() -> str:
            database = f"jobs_{uuid.uuid4().hex}"
            with psycopg.connect(url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {database}".encode())
            return url(database)

        with started((*user, programs / "postgres", *data, "-k", folder, *POSTGRES), folder) as server:
            _wait_until(answers, server)
            yield new_database


def _user_of_postgres(folder: Path) -> Command:
    """Return what a command begins with to be run by the one who owns the folder: not root, it says."""
    if os.geteuid() != 0:
        return ()
    shutil.chown(folder, "postgres", "postgres")
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")


def _wait_until(is_so: Callable[[], bool], server: Server) -> None:
    until = time.monotonic() + START_LIMIT
    while not is_so():
        if time.monotonic() > until:
            raise ServerFailed(f"it does not answer; its log ends with:\n{server.log_tail()}")
        time.sleep(0.01)
