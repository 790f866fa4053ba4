"""Building the application."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.app import create_app
from service.engine.fake import FakeEngine
from service.engine.local import LocalEngine
from service.errors import ConfigurationError, TaskModuleError
from service.jobs.store import open_store
from service.settings import Settings
from service.tasks import registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's tasks reach another test."""
    registry.load()  # those of the project itself stay
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))


def test_the_engine_can_be_given() -> None:
    engine = FakeEngine()

    assert create_app(Settings(), engine=engine).extensions["everycore.engine"] is engine


def test_the_store_can_be_given(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")

    app = create_app(Settings(), engine=FakeEngine(), store=store)

    assert app.extensions["everycore.store"] is store


def test_the_store_is_that_of_the_settings_by_default_and_opens_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "jobs.db"

    app = create_app(Settings(database_url=SecretStr(f"sqlite:///{path}")), engine=FakeEngine())

    assert not path.parent.exists()
    app.extensions["everycore.store"].counts()
    assert path.exists()
    app.extensions["everycore.store"].close()


def test_the_engine_is_this_machine_by_default_and_starts_nothing_yet(tmp_path: Path) -> None:
    threads = threading.active_count()

    app = create_app(Settings(runtime_dir=tmp_path / "run"))

    assert isinstance(app.extensions["everycore.engine"], LocalEngine)
    assert threading.active_count() == threads
    app.extensions["everycore.engine"].close()


def test_settings_come_from_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_REQUEST_TIMEOUT", "7")

    app = create_app(engine=FakeEngine())

    assert app.extensions["everycore.settings"].request_timeout == 7


def test_a_users_tasks_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from service.tasks import task\n@task()\ndef theirs(n: int) -> int:\n    return n\n"
    (tmp_path / "app_theirs.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    client = create_app(Settings(task_modules=("app_theirs",)), engine=FakeEngine()).test_client()

    assert client.post("/v1/tasks/theirs", json={"n": 3}).get_json()["result"] == 3


def test_a_users_module_that_fails_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app_failing.py").write_text("\n1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(TaskModuleError, match=r"app_failing\.py:2: ZeroDivisionError"):
        create_app(Settings(task_modules=("app_failing",)), engine=FakeEngine())


def test_a_type_that_nobody_can_check_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from service.tasks import task\n@task()\ndef odd(n: 'Nowhere') -> int:\n    return n\n"
    (tmp_path / "app_odd.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigurationError, match=r"app_odd\.py:2: odd can't be a task: .*Nowhere"):
        create_app(Settings(task_modules=("app_odd",)), engine=FakeEngine())


def test_a_pipeline_that_is_too_large_for_the_pool_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from collections.abc import Iterator\n"
        "from service.tasks import Pipeline, Stage\n"
        "def produce() -> Iterator[int]:\n    yield 1\n"
        "def work(item: int) -> int:\n    return item\n"
        "Pipeline('app.wide', produce, Stage(work, processes=4))\n"
    )
    (tmp_path / "app_wide.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(
        ConfigurationError, match=r"app_wide\.py:3: pipeline 'app\.wide': its steps have 5 pr"
    ):
        create_app(Settings(task_modules=("app_wide",), pool_processes=4), engine=FakeEngine())
