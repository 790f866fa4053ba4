"""A new version in place of the old, by ``docker compose up`` and by ``make deploy``: no client notices."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import load_tests
from tests.containers.locust_run import Locust
from tests.containers.stack import SLOW, Stack, eventually, run
from tests.containers.versions import Versions
from tests.e2e.steady_load import Load

pytestmark = pytest.mark.timeout(400)

#: Seconds. Without a proxy connections are refused for more than four when web is replaced.
GAP = 4.0
#: The image stays the one that other tests look at.
REVISION = "0123abc"
#: Kinds of requests that take milliseconds, so that one which had to wait shows.
QUICK = ("one_look", "one_task")

NEVER_READY = """
from service.tasks import resource

def load() -> int:
    raise RuntimeError("the model is broken")

model = resource(load)
"""
BROKEN = {"does not start": "raise RuntimeError('this version is broken')\n", "is never ready": NEVER_READY}

Way = Callable[[Versions], object]


def up(versions: Versions) -> None:
    versions.stack.up("--no-build")


def deploy(versions: Versions) -> None:
    versions.deploy()


def reload(versions: Versions) -> None:
    """Have Gunicorn load the tasks anew."""
    old = workers(versions)
    versions.stack.execute("web", "sh", "-c", "python -m service check > /dev/null && kill -HUP 1")
    eventually(lambda: workers(versions).isdisjoint(old), 60, versions.stack.logs)


def workers(versions: Versions) -> set[str]:
    """Return Gunicorn's workers, each with its container: children of the only child of the first process."""
    tree = "cat /proc/$(cat /proc/1/task/1/children | tr -d ' ')/task/*/children"
    pids = versions.stack.execute("web", "sh", "-c", tree).split()
    return {f"{versions.web()} {pid}" for pid in pids}


each_way = pytest.mark.parametrize("way", [up, deploy])


def slowest(load: Load) -> float:
    return max(load.longest[kind] for kind in QUICK)


@each_way
def test_no_request_fails(versions: Versions, way: Way) -> None:
    """The new version migrates the database, which processes of the old one go on using."""
    first, old = versions.last, versions.web()
    ready = versions.stack.is_ready
    eventually(lambda: all(ready() for _ in range(50)), 60, versions.stack.logs)
    with Load(versions.stack) as load:
        second = versions.make(migration=True)
        way(versions)
        load.wait_for_answers()

    load.check()
    assert {first, second} <= set(load.versions), load.versions
    assert len(versions.web()) == 1
    assert not set(old) & set(versions.web())
    print(f"{way.__name__}: slowest {load.longest}")
    if way is deploy:
        assert slowest(load) < GAP / 2, load.longest


@load_tests.needed
@pytest.mark.parametrize("way", [up, deploy, reload])
def test_no_request_of_locusts_fails(versions: Versions, way: Way, tmp_path: Path) -> None:
    old = workers(versions)
    if way is not reload:
        versions.make()
    with Locust(tmp_path, versions.stack.url) as locust:
        way(versions)
        locust.wait_for_answers(SLOW)

    assert workers(versions).isdisjoint(old)
    assert locust.status == 0, locust.said()
    assert "objectives kept" in locust.said()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_version_that_can_not_serve_is_removed_and_the_old_one_goes_on(
    versions: Versions, broken: str
) -> None:
    serving, before = versions.last, versions.web()
    with Load(versions.stack) as load:
        bad = versions.make(BROKEN[broken])
        with pytest.raises(AssertionError, match=r"not become healthy\. What is new was removed") as failed:
            versions.deploy(DEPLOY_TIMEOUT="25")
        load.wait_for_answers()

    after, said = versions.web(), str(failed.value)
    versions.make()
    versions.deploy()

    load.check()
    assert set(load.versions) == {serving}, bad
    assert after == before
    assert "broken" in said, said
    assert slowest(load) < GAP / 2, load.longest
    assert set(versions.web()).isdisjoint(before)


@pytest.mark.parametrize("where", ["before the proxy knows it", "as the proxy is told"])
def test_one_that_was_killed_is_made_good_by_the_next(versions: Versions, where: str) -> None:
    old = versions.web()
    with Load(versions.stack) as load:
        new = versions.make()
        # So it is killed between the start of what is new and its use.
        with versions.deploying() as process:
            eventually(lambda: versions.running() == 2, 60, versions.stack.logs)
            os.killpg(process.pid, signal.SIGKILL)
        left = set(versions.web()) - set(old)
        if where == "as the proxy is told":  # out of its network, and not yet in it again
            for container in left:
                run("docker", "network", "disconnect", f"{versions.stack.project}_front", container)
        assert "left by a deployment that was broken off" in versions.deploy()
        load.wait_for_answers()

    load.check()
    assert new in load.versions
    assert len(versions.web()) == 1
    assert not set(versions.web()) & (set(old) | left)


def test_there_is_one_at_a_time(versions: Versions) -> None:
    versions.make()
    with versions.deploying() as process:
        eventually(lambda: len(versions.web()) == 2, 60, versions.stack.logs)
        with pytest.raises(AssertionError, match=r"another deployment of .* is under way"):
            versions.deploy()
        assert process.wait(SLOW) == 0
    assert len(versions.web()) == 1


def test_a_container_for_one_command_is_not_taken_for_web(versions: Versions) -> None:
    stack = versions.stack
    stack.compose("run", "-d", "--no-deps", "--name", f"{stack.project}-once", "web", "sleep", "600")
    try:
        versions.make()
        versions.deploy()

        once = [found for found in stack.containers("web") if found["Name"] == f"/{stack.project}-once"]
        assert [found["State"]["Status"] for found in once] == ["running"]
        assert len(versions.web()) == 1
    finally:
        run("docker", "rm", "--force", f"{stack.project}-once")


def test_it_starts_what_does_not_run_and_does_nothing_when_nothing_is_new(built: Stack) -> None:
    stack = Stack(built.folder, image=built.image, proxy=built.proxy_image)
    command = ("sh", "-c", 'exec deploy/compose/rollout.sh -p "$0" 2>&1', stack.project)
    try:
        stack.run(*command, timeout=SLOW, REVISION=REVISION)
        assert stack.get("/healthz") == {"status": "ok"}
        stack.up("--no-build", "--scale", "web=2", "--scale", "runner=2")
        before = started(stack)

        said = stack.run(*command, timeout=SLOW, REVISION=REVISION)

        assert "web is as it should be" in said
        assert started(stack) == before
        assert len(before) == 6
    finally:
        stack.clean_up()


def started(stack: Stack) -> dict[str, str]:
    """Return when each container was started, by its id."""
    containers = stack.containers("proxy", "web", "runner", "postgres")
    return {container["Id"]: container["State"]["StartedAt"] for container in containers}


def test_as_many_containers_as_there_were(versions: Versions) -> None:
    stack = versions.stack
    stack.up("--no-build", "--scale", "web=2")
    try:
        old = versions.web()
        versions.make()
        with Load(stack) as load:
            versions.deploy()
            load.wait_for_answers()

        load.check()
        assert len(versions.web()) == 2
        assert not set(old) & set(versions.web())
    finally:
        stack.up("--no-build")
    assert len(versions.web()) == 1
