"""Services for end-to-end tests."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Service, free_port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service with the given settings, ready to answer; it is gone at the end of the test."""
    services: list[Service] = []

    def start(*command: str, stdin: int = subprocess.DEVNULL, **variables: str) -> Service:
        command = command or ("service", "serve")
        services.append(Service(tmp_path, free_port(), command, stdin, **variables))
        services[-1].wait_until_ready()
        return services[-1]

    yield start
    for service in services:
        service.clean_up()
