"""What is in the image, and what is not."""

import json
import re
import tomllib
from typing import Any

import pytest

from tests.containers.stack import Stack, run
from tests.e2e.running import ROOT

pytestmark = pytest.mark.timeout(400)

#: Bytes that the image may have beyond its base.
MOST = 160_000_000
#: Seconds that a change of code may take to build, on a busy machine.
REBUILD = 60.0


@pytest.fixture(scope="module")
def image(built: Stack) -> dict[str, Any]:
    return inspected(built.image)


def inspected(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(run("docker", "image", "inspect", name))
    return found[0]


def inside(built: Stack, *command: str, user: str = "root") -> str:
    """Run a command in the image, as somebody who may look everywhere."""
    return run("docker", "run", "--rm", "--network", "none", "--user", user, built.image, *command)


def test_it_runs_as_a_user_who_is_not_root(image, built):
    assert image["Config"]["User"] == "10001:10001"
    assert inside(built, "id", "-u", user="10001:10001").strip() == "10001"


def test_its_command_is_a_program_and_not_a_shell(image):
    assert image["Config"]["Cmd"][:3] == ["python", "-m", "gunicorn"]
    assert image["Config"]["Healthcheck"]["Test"][0] == "CMD"


def test_its_labels_say_what_it_is(image):
    labels = image["Config"]["Labels"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert labels["org.opencontainers.image.version"] == version
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["org.opencontainers.image.title"] == "Everycore"


def test_it_is_small(image):
    base = inspected("python:3.13-slim")

    assert image["Size"] - base["Size"] < MOST


def test_it_has_the_code_and_what_that_imports_and_nothing_else(built):
    assert inside(built, "ls", "-A", "/app").split() == ["gunicorn.conf.py", "service"]
    assert inside(built, "find", "/venv", "/app", "-type", "d", "-name", "tests") == ""
    assert inside(built, "find", "/root", "/home", "/tmp", "-path", "*/.cache/*") == ""

    compilers = "for tool in cc gcc g++ make; do command -v $tool; done; true"
    assert inside(built, "sh", "-c", compilers) == ""


def test_the_code_is_compiled_and_nobody_may_change_it(built):
    listed = inside(built, "find", "/app/service", "-name", "*.py", "-o", "-name", "*.pyc").split()
    sources = [path for path in listed if path.endswith(".py")]
    compiled = [path for path in listed if path.endswith(".pyc")]

    assert len(sources) == len(compiled) > 100
    writable = inside(built, "find", "/app", "/venv", "-writable", "!", "-type", "l", user="10001:10001")
    assert writable == ""


def test_it_refuses_to_be_reached_by_anybody_until_told_so(built):
    with pytest.raises(AssertionError, match="nobody needs a key"):
        inside(built, "python", "-m", "service", "check", user="10001:10001")


def test_a_change_of_code_builds_one_layer_anew(built, image):
    changed = built.folder / "service" / "__init__.py"
    before = changed.read_bytes()
    changed.write_bytes(before + b"\n# changed\n")
    tag = f"{built.image}:changed"
    try:
        built.compose("build", "web", timeout=REBUILD, EVERYCORE_IMAGE=tag, REVISION="4567def")
        layers = inspected(tag)["RootFS"]["Layers"]
    finally:
        changed.write_bytes(before)
        run("docker", "image", "rm", "--force", tag)

    # The last one is the code; those below have the packages, which take the time.
    assert layers[:-1] == image["RootFS"]["Layers"][:-1]
    assert layers[-1] != image["RootFS"]["Layers"][-1]


def test_what_it_installs_is_locked_and_checked_against_hashes():
    text = (ROOT / "Dockerfile").read_text()

    installs = re.findall(r"pip --python .+?-r /requirements.txt", text, re.DOTALL)
    assert len(installs) == 2
    assert all(" --require-hashes " in install for install in installs)
    # It would be fetched from a registry.
    assert "# syntax=" not in text


class TestTheProxy:
    """It has an image of its own."""

    @pytest.fixture
    def proxy(self, built: Stack) -> dict[str, Any]:
        return inspected(built.proxy_image)

    def test_it_runs_as_a_user_who_is_not_root_and_lets_requests_end(self, proxy):
        assert proxy["Config"]["User"] == "10002:10002"
        assert proxy["Config"]["Cmd"][0] == "haproxy"
        assert proxy["Config"]["Healthcheck"]["Test"][0] == "CMD"
        # At any other it would cut them off.
        assert proxy["Config"]["StopSignal"] == "SIGUSR1"
        assert proxy["Config"]["Labels"]["org.opencontainers.image.title"] == "Everycore proxy"

    def test_it_is_small(self, proxy):
        assert proxy["Size"] - inspected("python:3.13-slim")["Size"] < MOST // 8

    def test_a_change_of_code_leaves_it_as_it_is(self, built):
        """Another image would have its container replaced, and nothing can listen in its place."""
        changed = built.folder / "service" / "__init__.py"
        before = changed.read_bytes()
        # It is labelled with the project that built it last, which may have been that of another test.
        built.compose("build", "proxy", timeout=REBUILD)
        proxy = inspected(built.proxy_image)
        changed.write_bytes(before + b"\n# changed for the proxy\n")
        try:
            built.compose("build", "proxy", timeout=REBUILD, REVISION="4567def")
        finally:
            changed.write_bytes(before)

        assert inspected(built.proxy_image)["Id"] == proxy["Id"]
