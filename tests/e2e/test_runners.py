"""Runners below ``serve``: who dies is replaced, a stop gives jobs back, a reload brings new tasks."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.jobs.database import open_database
from service.jobs.migrate import Migrated
from service.jobs.model import Job, NewJob, Payload, State
from service.jobs.store import Store
from service.settings import Settings
from tests.e2e.running import Service, free_port, is_gone, wait_until

TASKS = '''
import ctypes, os, time
from pathlib import Path
from service.tasks import attempt, task

VERSION = 1

def _begun(name: str) -> None:
    unfinished = Path(f"{name}.{os.getpid()}")
    unfinished.write_text(str(os.getpid()))
    unfinished.rename(name)

@task
def spin(name: str) -> None:
    """Compute in Python for ever."""
    _begun(name)
    while True:
        pass

@task
def hold_the_gil(name: str) -> None:
    """Stay in a C call that holds the GIL."""
    _begun(name)
    ctypes.PyDLL(None).sleep(3600)

@task
def wait_for(name: str, file: str) -> int:
    """Tell the version of this module once there is a file."""
    _begun(name)
    while not Path(file).exists():
        time.sleep(0.01)
    return VERSION

@task
def hang_at_first(name: str) -> int:
    """Have no end at the first attempt."""
    _begun(name)
    while attempt() == 1:
        time.sleep(1)
    return attempt()

@task
def version() -> int:
    """Tell the version of this module."""
    return VERSION
'''

SETTINGS = {
    "SERVICE_TASK_MODULES": "mytasks",
    "SERVICE_WEB_WORKERS": "1",
    "SERVICE_CPU_SLOTS": "4",
    "SERVICE_JOB_LEASE": "2",
}

KILL, TERM, INT, HUP = signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class Jobs:
    """The jobs of one service, seen from beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.database = Migrated(open_database(f"sqlite:///{folder}/var/everycore.db"))
        self.store = Store(self.database)

    def submit(self, task: str, args: str = "{}") -> str:
        job, _ = self.store.submit(NewJob(task, Payload("application/json", args.encode()), 1, 60.0))
        return job.id

    def begin(self, task: str, name: str, more: str = "") -> tuple[str, psutil.Process]:
        """Submit a job; return it, and the process that runs it."""
        job = self.submit(task, f'{{"name": "{name}"{more}}}')
        mark = self._folder / name
        wait_until(mark.exists, 20, lambda: f"{self.store.get(job)}")
        return job, psutil.Process(int(mark.read_text()))

    def ended(self, job: str, within: float = 20) -> Job:
        wait_until(lambda: self.store.get(job).state.is_final, within, lambda: f"{self.store.get(job)}")
        return self.store.get(job)

    def result(self, job: str) -> bytes:
        assert self.ended(job).state is State.SUCCEEDED, self.store.get(job)
        result = self.store.result(job)
        assert result is not None
        return result.content

    def runners(self) -> set[int]:
        """Return the pids of the runners that are registered."""
        with self.database.reading() as tx:
            return {row["pid"] for row in tx.all("runners")}


@pytest.fixture
def jobs(tmp_path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path)
    yield jobs
    jobs.database.close()


@pytest.fixture
def start(serve, jobs, tmp_path) -> Callable[..., Service]:
    """Start a service, and return when its runners are there."""
    (tmp_path / "mytasks.py").write_text(TASKS)

    def start(**variables: str) -> Service:
        service: Service = serve(**SETTINGS | variables)
        count = int(variables.get("SERVICE_RUNNERS", "1"))
        wait_until(lambda: len(jobs.runners()) == count, 20, service.log.read_text)
        assert {process.pid for process in service.runners()} == jobs.runners()
        return service

    return start


def pids(service: Service) -> set[int]:
    return {process.pid for process in service.runners()}


class TestDeath:
    def test_a_killed_runner_is_replaced_and_its_job_runs_again(self, start, jobs):
        service = start()
        job, process = jobs.begin("hang_at_first", "begun")
        (runner,) = service.runners()

        runner.send_signal(KILL)

        assert jobs.result(job) == b"2"
        assert is_gone(process)
        assert runner not in service.runners()
        assert len(service.runners()) == 1
        found = jobs.store.get(job)
        assert (found.attempts, found.crashes, found.failures) == (2, 1, 0)
        assert jobs.runners() == pids(service)

    @pytest.mark.parametrize("signum", [KILL, TERM, INT])
    def test_an_idle_one_is_replaced_whatever_ended_it(self, start, jobs, signum):
        service = start()
        (runner,) = service.runners()

        runner.send_signal(signum)

        wait_until(lambda: is_gone(runner), 5, service.log.read_text)
        assert jobs.result(jobs.submit("version")) == b"1"
        assert service.parent.poll() is None

    def test_one_of_two_leaves_the_other_at_work(self, start, jobs):
        service = start(SERVICE_RUNNERS="2")
        first, second = service.runners()

        first.send_signal(KILL)

        assert jobs.result(jobs.submit("version")) == b"1"
        wait_until(lambda: len(service.runners()) == 2, 5, service.log.read_text)
        assert second in service.runners()

    @pytest.mark.parametrize("task", ["spin", "hold_the_gil"])
    def test_a_killed_parent_takes_runners_and_their_jobs_along(self, start, jobs, task):
        service = start()
        _, process = jobs.begin(task, "begun")

        service.parent.kill()
        service.parent.wait()

        service.assert_gone(within=1)
        assert is_gone(process)

    def test_a_killed_master_ends_the_runners_after_their_grace(self, start, jobs):
        service = start(SERVICE_JOB_GRACE="0.5")
        job, _ = jobs.begin("spin", "begun")

        service.master.send_signal(KILL)

        assert service.parent.wait(timeout=5) == 128 + KILL
        service.assert_gone(within=1)
        assert jobs.store.get(job).state is State.QUEUED
        assert jobs.runners() == set()


class TestStop:
    @pytest.mark.parametrize("task", ["spin", "hold_the_gil"])
    def test_sigterm_lets_short_jobs_end_and_gives_long_ones_back(self, start, jobs, task, tmp_path):
        service = start(SERVICE_JOB_GRACE="1")
        short, _ = jobs.begin("wait_for", "short", f', "file": "{tmp_path}/go"')
        long, process = jobs.begin(task, "long")

        service.parent.send_signal(TERM)
        (tmp_path / "go").touch()

        wait_until(lambda: jobs.runners() == set(), 2, service.log.read_text)
        assert service.parent.wait(timeout=10) == 0
        service.assert_gone(within=0.2)
        assert is_gone(process)
        assert jobs.store.get(short).state is State.SUCCEEDED
        found = jobs.store.get(long)
        assert (found.state, found.attempts, found.failures, found.crashes) == (State.QUEUED, 1, 0, 0)
        assert "given back" in jobs.store.log(long)[-1].line
        assert jobs.runners() == set()

    @pytest.mark.parametrize("task", ["spin", "hold_the_gil"])
    @pytest.mark.parametrize("signum", [INT, signal.SIGQUIT])
    def test_a_quick_stop_gives_all_back_at_once(self, start, jobs, task, signum):
        service = start()
        job, _ = jobs.begin(task, "begun")

        service.parent.send_signal(signum)

        assert service.parent.wait(timeout=5) == 0
        service.assert_gone(within=0.2)
        assert "stop enforced" not in service.log.read_text()
        assert jobs.store.get(job).state is State.QUEUED
        assert jobs.runners() == set()

    def test_what_was_given_back_runs_when_there_is_a_runner_again(self, start, jobs):
        first = start()
        job, _ = jobs.begin("hang_at_first", "begun")
        first.parent.send_signal(INT)
        first.parent.wait(timeout=5)

        start()

        assert jobs.result(job) == b"2"

    def test_after_a_sigterm_ctrl_c_is_quick(self, start, jobs):
        service = start(SERVICE_JOB_GRACE="60")
        master = service.master
        job, _ = jobs.begin("spin", "begun")

        service.parent.send_signal(TERM)
        wait_until(lambda: is_gone(master), 5, service.log.read_text)
        service.parent.send_signal(INT)

        wait_until(lambda: jobs.runners() == set(), 2, service.log.read_text)
        assert service.parent.wait(timeout=5) == 0
        assert jobs.store.get(job).state is State.QUEUED
        service.assert_gone(within=0.2)

    def test_a_second_sigterm_does_not_prolong_the_stop(self, start, jobs):
        service = start(SERVICE_JOB_GRACE="2")
        jobs.begin("spin", "begun")

        began = time.monotonic()
        service.parent.send_signal(TERM)
        wait_until(lambda: time.monotonic() - began > 1.5, 2, service.log.read_text)
        service.parent.send_signal(TERM)

        wait_until(lambda: jobs.runners() == set(), 1.5, service.log.read_text)
        assert service.parent.wait(timeout=5) == 0

    def test_a_second_ctrl_c_ends_a_runner_that_hangs(self, start, jobs):
        service = start()
        job, _ = jobs.begin("spin", "begun")
        (runner,) = service.runners()
        runner.suspend()

        service.parent.send_signal(INT)
        # Two that wait to be heard are one.
        wait_until(lambda: "Handling signal: int" in service.log.read_text(), 2, service.log.read_text)
        service.parent.send_signal(INT)

        wait_until(lambda: "stop enforced" in service.log.read_text(), 1, service.log.read_text)
        service.parent.wait(timeout=5)
        service.assert_gone(within=0.2)
        # Others find that it is gone when its lease has passed.
        assert jobs.store.get(job).state is State.RUNNING

    def test_a_runner_that_hangs_is_killed_in_the_end(self, start):
        service = start()
        (runner,) = service.runners()
        runner.suspend()

        service.parent.send_signal(INT)

        assert service.parent.wait(timeout=10) == 0
        assert "stop enforced" in service.log.read_text()
        service.assert_gone(within=0.2)


class TestReload:
    def test_a_new_runner_knows_new_tasks_while_the_old_one_ends_its_job(self, start, jobs, tmp_path):
        service = start()
        (old,) = service.runners()
        running, _ = jobs.begin("wait_for", "begun", f', "file": "{tmp_path}/go"')
        (tmp_path / "mytasks.py").write_text(TASKS.replace("VERSION = 1", "VERSION = 2  # changed"))

        service.parent.send_signal(HUP)
        wait_until(lambda: len(jobs.runners()) == 2, 20, service.log.read_text)

        assert jobs.result(jobs.submit("version")) == b"2"
        assert jobs.store.get(running).state is State.RUNNING
        (tmp_path / "go").touch()
        assert jobs.result(running) == b"1"
        wait_until(lambda: is_gone(old), 5, service.log.read_text)
        assert jobs.store.get(running).attempts == 1
        assert jobs.runners() == pids(service)

    def test_a_long_job_begins_again_with_the_new_tasks(self, start, jobs, tmp_path):
        service = start(SERVICE_JOB_GRACE="0.5")
        job, process = jobs.begin("wait_for", "begun", f', "file": "{tmp_path}/go"')
        (tmp_path / "mytasks.py").write_text(TASKS.replace("VERSION = 1", "VERSION = 2  # changed"))

        service.parent.send_signal(HUP)
        wait_until(lambda: jobs.store.get(job).attempts == 2, 20, service.log.read_text)
        (tmp_path / "go").touch()

        assert jobs.result(job) == b"2"
        assert is_gone(process)

    def test_a_refused_one_leaves_the_runner_alone(self, start, jobs, tmp_path):
        service = start()
        before = service.runners()
        # From here on its pool has what it needs.
        assert jobs.result(jobs.submit("version")) == b"1"
        (tmp_path / "mytasks.py").write_text("import no_such_library\n")

        service.parent.send_signal(HUP)

        wait_until(lambda: "reload refused" in service.log.read_text(), 10, service.log.read_text)
        assert service.runners() == before
        assert jobs.result(jobs.submit("version")) == b"1"

    @pytest.mark.parametrize("count", [0, 2])
    def test_it_may_change_how_many_there_are(self, start, jobs, tmp_path, count):
        (tmp_path / ".env").write_text("SERVICE_RUNNERS=1\n")
        service = start()
        (old,) = service.runners()
        (tmp_path / ".env").write_text(f"SERVICE_RUNNERS={count}\n")

        service.parent.send_signal(HUP)

        wait_until(lambda: is_gone(old), 20, service.log.read_text)
        wait_until(lambda: len(jobs.runners()) == count, 20, service.log.read_text)
        assert jobs.runners() == pids(service)


class TestHowMany:
    def test_there_may_be_none(self, start, jobs):
        service = start(SERVICE_RUNNERS="0")

        assert psutil.Process(service.parent.pid).children() == [service.master]
        service.parent.send_signal(TERM)
        assert service.parent.wait(timeout=5) == 0

    @pytest.mark.parametrize("signum", [TERM, HUP, INT, signal.SIGQUIT])
    def test_one_may_be_started_alone(self, start, jobs, tmp_path, signum):
        start(SERVICE_RUNNERS="0")
        runner = Service(tmp_path, free_port(), ("service", "runner"), subprocess.DEVNULL, **SETTINGS)
        try:
            assert jobs.result(jobs.submit("version")) == b"1"
            assert jobs.runners() == {runner.parent.pid}

            runner.parent.send_signal(signum)

            assert runner.parent.wait(timeout=5) == 0
            assert jobs.runners() == set()
        finally:
            runner.clean_up()


class TestThatCanNotStart:
    def test_it_is_tried_again_ever_more_rarely_and_requests_are_served(self, start, jobs, tmp_path):
        service = start()
        (runner,) = service.runners()

        def ask() -> int:
            return int(httpx.post(f"{service.url}/v1/tasks/version", json={}, timeout=30).json()["result"])

        assert ask() == 1
        (tmp_path / "mytasks.py").write_text("import no_such_library\n")

        runner.send_signal(KILL)

        wait_until(lambda: service.log.read_text().count("a runner died") >= 4, 30, service.log.read_text)
        assert ask() == 1
        assert f"{tmp_path}/mytasks.py:1: ModuleNotFoundError" in service.log.read_text()
        pauses = [line for line in service.log.read_text().splitlines() if "a runner died" in line]
        assert [json.loads(line)["next_in"] for line in pauses[:4]] == [0.2, 0.4, 0.8, 1.6]
        (tmp_path / "mytasks.py").write_text(TASKS)
        assert jobs.result(jobs.submit("version")) == b"1"


#: Stays in its import, in a runner, for as long as there is a file "hold".
SLOW_TASKS = """
import sys, time
from pathlib import Path

if sys.argv[-1] == "runner":
    Path("importing").touch()
    while Path("hold").exists():
        time.sleep(0.01)
"""

#: Imported by every Python at its start; that of a runner stays there until it gets a signal.
SLOW_START = """
import signal, sys, time
from pathlib import Path

if sys.orig_argv[-1] == "runner":
    Path("importing").touch()
    end = time.monotonic() + 10
    while not signal.sigpending() and time.monotonic() < end:
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("module", "source"), [("mytasks", SLOW_TASKS), ("sitecustomize", SLOW_START)])
@pytest.mark.parametrize("signum", [TERM, INT])
def test_a_stop_ends_a_runner_that_only_just_starts(tmp_path, module, source, signum):
    (tmp_path / "mytasks.py").write_text(TASKS)
    (tmp_path / f"{module}.py").write_text(source)
    (tmp_path / "hold").touch()
    service = Service(tmp_path, free_port(), ("service", "serve"), subprocess.DEVNULL, **SETTINGS)
    try:
        service.wait_until_ready()
        wait_until((tmp_path / "importing").exists, 10, service.log.read_text)

        service.parent.send_signal(signum)

        assert service.parent.wait(timeout=5) == 0, service.log.read_text()
        service.assert_gone(within=0.2)
        assert "Traceback" not in service.log.read_text()
        assert "stop enforced" not in service.log.read_text()
    finally:
        service.clean_up()


def test_at_rest_it_takes_less_than_a_hundredth_of_a_cpu(start, jobs):
    # To note which lines run takes several times as long as to run them, and a short lease is renewed often.
    default = str(Settings.model_fields["job_lease"].default)
    service = start(COVERAGE_PROCESS_CONFIG="", COVERAGE_PROCESS_START="", SERVICE_JOB_LEASE=default)
    assert jobs.result(jobs.submit("version")) == b"1"
    (runner,) = service.runners()
    processes = [runner, *runner.children(recursive=True)]

    def spent() -> float:
        # Nanoseconds by the scheduler. The usual times are counted in ticks, at which timers like to go off.
        threads = [thread for process in processes for thread in Path(f"/proc/{process.pid}/task").iterdir()]
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def spent_in(seconds: float) -> float:
        before = spent()
        time.sleep(seconds)
        return spent() - before

    # What it does after a job has its end at some time.
    wait_until(lambda: spent_in(0.5) <= 0.01, 20, service.log.read_text)
    assert spent_in(5) < 5 * 0.01
