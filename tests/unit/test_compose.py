"""``docker-compose.yml`` and its ``.env.example``, as far as they can be read without a Docker engine."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.pages import ROOT

COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
EXAMPLE = (ROOT / ".env.example").read_text()

each_service = pytest.mark.parametrize("name", SERVICES)


def variables() -> dict[str, str]:
    """Return the variables that the file takes from outside, with their defaults."""
    return dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE.read_text()))


def test_a_plain_start_has_what_is_needed_and_no_more():
    plain = {name for name, service in SERVICES.items() if "profiles" not in service}

    assert plain == {"proxy", "web", "runner", "postgres", "secrets"}


def test_the_example_explains_each_variable_with_its_default():
    explained = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    own = {name: default for name, default in variables().items() if not name.startswith("SERVICE_")}

    assert own == {name: value for name, value in explained.items() if not name.startswith("SERVICE_")}
    # Without a default it would have to be set.
    assert set(re.findall(r"\$\{(\w+)", COMPOSE.read_text())) == set(variables())


@each_service
def test_each_is_denied_what_it_does_not_need(name):
    service = SERVICES[name]

    assert service["init"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_each_has_limits_and_is_started_again(name):
    service = SERVICES[name]

    assert {"cpus", "mem_limit", "pids_limit"} <= set(service)
    assert service["restart"] == ("no" if name == "secrets" else "unless-stopped")
    assert service["logging"]["options"]["max-size"]


@each_service
def test_ports_are_those_of_this_machine_only(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))
    assert name not in ("web", "runner", "postgres") or "ports" not in SERVICES[name]


@each_service
def test_each_tells_whether_it_is_healthy(name):
    # The health checks of two are those of their images; two have nothing to be asked.
    without = {"proxy", "web", "secrets", "locust-worker"}

    assert ("test" in SERVICES[name].get("healthcheck", {})) == (name not in without)


@each_service
def test_no_image_changes_behind_ones_back(name):
    image = SERVICES[name]["image"]

    assert image.startswith(("${EVERYCORE_IMAGE:-", "${PROXY_IMAGE:-")) or re.search(r":v?\d", image)
