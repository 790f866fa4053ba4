"""Something heavy is loaded once, and its pages are shared by all pool processes."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from service.engine.local import LocalEngine
from service.errors import ConfigurationError
from service.tasks import registry, resources
from tests.integration.engine.test_lifecycle import wait_until

MODEL_MB = 96
#: What a process has for itself, measuring of coverage included.
OWN_MB = 22
MODULE = '''
import os, time
from pathlib import Path
import numpy as np
from service.tasks import resource, task

FOLDER = Path(__file__).parent

@resource
def model():
    with (FOLDER / "loads").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if (FOLDER / "broken").exists():
        raise FileNotFoundError("the weights are gone")
    return np.full(MB * 131072, 1.0)

@task
def total() -> list[float]:
    """Read all of it, and stay a while so that all processes are needed."""
    time.sleep(0.2)
    return [float(model().sum()), os.getpid()]
'''


@pytest.fixture
def engine(tmp_path, monkeypatch):
    (tmp_path / "heavytasks.py").write_text(MODULE.replace("MB", str(MODEL_MB)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(resources, "_resources", {})
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    registry.load(["heavytasks"])
    made = LocalEngine(modules=["heavytasks"], processes=8, cpu_slots=4, runtime_dir=tmp_path / "run")
    yield made
    made.close()
    sys.modules.pop("heavytasks")


def loads(folder: Path) -> list[int]:
    file = folder / "loads"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def test_it_is_loaded_once_and_its_pages_are_shared(engine, run_on, tmp_path):
    # When four processes have read all of it
    results = run_on(engine).results("total", [{}] * 8)
    pids = {int(pid) for _, pid in results}

    # Then each had it, and nobody but the fork server loaded it
    assert {value for value, _ in results} == {MODEL_MB * 131072}
    assert len(pids) == 4
    (loader,) = loads(tmp_path)
    assert loader not in pids | {os.getpid()}
    assert psutil.Process(loader).name() == "everycore-forks"
    # And together they take the memory of one and their own, where five copies would be 480 MB: PSS counts a
    # shared page by its share
    shares = [psutil.Process(pid).memory_full_info().pss / 2**20 for pid in (loader, *pids)]
    assert sum(shares) < MODEL_MB + 5 * OWN_MB, shares
    assert all(psutil.Process(pid).memory_info().rss > MODEL_MB * 2**20 for pid in pids)


def test_it_can_be_loaded_before_the_first_call(engine, tmp_path):
    assert not engine.ready
    assert loads(tmp_path) == []
    engine.warm()
    wait_until(lambda: engine.ready)
    assert len(loads(tmp_path)) == 1


def test_one_that_can_not_be_loaded_is_named_and_tried_again(engine, run_on, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(ConfigurationError, match=r"heavytasks\.py:\d+: model can't be loaded: FileNotF"):
        run_on(engine).result("total")
    (tmp_path / "broken").unlink()

    assert run_on(engine).result("total")[0] == MODEL_MB * 131072


def test_no_process_is_needed_to_have_it(engine, tmp_path):
    """As in a unit test of a task: the first call loads it."""
    import heavytasks  # type: ignore[import-not-found]

    assert heavytasks.total()[0] == heavytasks.total()[0]
    assert loads(tmp_path) == [os.getpid()]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("@resource\ndef model(path): ...", "it is called without arguments"),
        ("@resource\nasync def model(): ...", "a resource is a plain function"),
        ("@resource\ndef model(): yield 1", "a resource is a plain function"),
        ("resource(3)", "a resource is a plain function"),
    ],
)
def test_what_can_not_be_a_resource_is_told(source, reason):
    with pytest.raises(ConfigurationError, match=reason):
        exec(source, {"resource": resources.resource, "__name__": "here"})
