"""The folder that the processes of one service share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.telemetry.metrics.directory import VARIABLE, Folder


def test_it_is_new_and_those_who_are_started_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "elsewhere")
    folder = Folder(tmp_path)

    folder.share()

    assert os.environ[VARIABLE] == str(folder.path)
    assert folder.path.parent == tmp_path / "metrics"
    assert not list(folder.path.iterdir())
    folder.remove()


def test_two_services_with_one_runtime_folder_have_one_each(tmp_path: Path) -> None:
    first, second = Folder(tmp_path), Folder(tmp_path)

    assert first.path != second.path
    assert first.path.is_dir()
    first.remove()
    assert second.path.is_dir()
    second.remove()


def test_what_a_service_left_that_was_killed_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "metrics" / "left"
    left.mkdir(parents=True)
    (left / "counter_0.db").write_bytes(b"something")

    Folder(tmp_path).remove()

    assert not list((tmp_path / "metrics").iterdir())


def test_it_may_be_removed_twice(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    folder.remove()
    folder.remove()

    assert not folder.path.exists()


def test_a_place_where_none_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("no folder")

    with pytest.raises(ConfigurationError, match=f"SERVICE_RUNTIME_DIR: .*{tmp_path}/metrics: File exists"):
        Folder(tmp_path)
