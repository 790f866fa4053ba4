"""The service in containers, for all tests of this folder: built once, started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.stack import SLOW, Stack, copy_of_the_checkout, run, why_no_engine
from tests.containers.versions import Versions

WANTED = "EVERYCORE_CONTAINERS"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A copy of the checkout with its image built; nothing runs."""
    if reason := why_no_engine():
        if os.environ.get(WANTED) == "1":
            pytest.fail(f"{WANTED}=1, but no Docker engine can be used: {reason}")
        pytest.skip(f"no Docker engine can be used: {reason.splitlines()[-1]}")
    folder: Path = tmp_path_factory.mktemp("clone")
    copy_of_the_checkout(folder)
    stack = Stack(folder)
    try:
        stack.compose("build", "--build-arg", "REVISION=0123abc", timeout=SLOW)
        yield stack
    finally:
        run("docker", "image", "rm", "--force", stack.image, stack.proxy_image)


@pytest.fixture(scope="session")
def stack(built: Stack) -> Iterator[Stack]:
    """The service, healthy; each test leaves it so."""
    try:
        built.up()
        yield built
    finally:
        built.clean_up()


@pytest.fixture(scope="session")
def versions(built: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    """A second service, of an image that has versions; each test leaves it healthy."""
    found = Versions(built, tmp_path_factory.mktemp("versions"))
    try:
        found.make()
        found.stack.up("--no-build")
        yield found
    finally:
        found.stack.clean_up()
        run("docker", "image", "rm", "--force", found.stack.image)
