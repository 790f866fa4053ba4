"""``docker compose up`` on a fresh clone: it serves, and its containers are denied what they don't need."""

import re

import httpx
import pytest

from tests.containers.stack import SERVICES, Stack, eventually
from tests.e2e.running import ROOT

pytestmark = pytest.mark.timeout(400)

every_service = pytest.mark.parametrize("service", SERVICES)
GIB = 2**30
PAGE = ROOT / "docs" / "how-to" / "deploy-with-compose.md"


def test_everything_is_healthy_and_migrated(stack):
    for service in SERVICES:
        assert stack.container(service)["State"]["Health"]["Status"] == "healthy", service

    eventually(stack.is_ready, 20, stack.logs)
    status = stack.execute("web", "python", "-m", "service", "db", "status")
    assert "database: postgresql" in status
    assert "pending" not in status
    migrations = {path.name[:4] for path in (ROOT / "service" / "jobs" / "migrations").glob("*.sql")}
    assert set(re.findall(r"^(\d{4}) ", status, re.MULTILINE)) == migrations


class TestTheSamples:
    """All four, through the published port."""

    def test_four_sums(self, stack):
        document = stack.get("/concurrent_cpu_tasks/")

        assert sorted(document["results"]) == [
            170666634666668000000,
            242999959500001500000,
            333333283333335000000,
            575999928000002000000,
        ]

    def test_ten_items_on_five_processes(self, stack):
        document = stack.get("/parallel_data_processing/")

        assert document["results"] == [f"Processed: {2 * item}" for item in range(1, 11)]
        assert document["total_time"] < 5, "one after the other they would take that long"

    def test_a_queue_between_processes(self, stack):
        document = stack.get("/process_queue_communication/")

        assert document["results"] == [f"Consumed: Item {number}" for number in range(5)]

    def test_a_background_task(self, stack):
        answer = httpx.post(
            f"{stack.url}/start_background_process/", json={"message": "hello", "duration": 0.2}
        )

        assert answer.status_code == 202
        href = answer.json()["job"]["href"]
        eventually(lambda: stack.get(href)["state"] == "succeeded", 30, stack.logs)
        log = httpx.get(f"{stack.url}{href}/log").text
        assert "Background task started: hello" in log
        assert "Background task finished: hello" in log


class TestContainers:
    """Which rights and which sizes they have."""

    @every_service
    def test_nobody_in_it_is_root_or_may_become_it(self, stack, service):
        user = {"postgres": "999", "proxy": "10002"}.get(service, "10001")
        assert set(stack.status_of(service, "Uid").split()) == {user}
        assert int(stack.status_of(service, "CapEff"), 16) == 0
        assert int(stack.status_of(service, "CapBnd"), 16) == 0
        assert stack.status_of(service, "NoNewPrivs") == "1"

    @every_service
    def test_its_file_system_can_be_read_only(self, stack, service):
        for folder in ("/", "/usr/local/bin", "/app" if service in ("web", "runner") else "/etc"):
            with pytest.raises(AssertionError, match="Read-only file system"):
                stack.execute(service, "touch", f"{folder}/new")

        stack.execute(service, "sh", "-c", "touch /tmp/new && rm /tmp/new")

    @every_service
    def test_it_has_limits(self, stack, service):
        limits = stack.container(service)["HostConfig"]

        assert limits["NanoCpus"] == (1e9 if service in ("postgres", "proxy") else 2e9)
        assert limits["Memory"] == {"postgres": GIB, "proxy": GIB // 4}.get(service, 2 * GIB)
        assert 0 < limits["PidsLimit"] <= 2048
        assert 0 < limits["ShmSize"] <= GIB // 8
        assert limits["Init"]
        assert limits["RestartPolicy"]["Name"] == "unless-stopped"

    def test_only_the_proxy_is_published_and_only_on_this_machine(self, stack):
        published = [
            (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
            for container in stack.containers()
            for bindings in container["NetworkSettings"]["Ports"].values()
            for binding in bindings or ()
        ]

        assert published == [("proxy", "127.0.0.1")]
        assert stack.compose("port", "proxy", "8000").strip() == stack.url.removeprefix("http://")

    def test_the_database_has_no_way_out_and_its_password_is_in_no_environment(self, stack):
        assert [name.removeprefix(stack.project) for name in networks(stack, "postgres")] == ["_back"]
        password = stack.execute("postgres", "cat", "/run/secrets/postgres-password")
        assert len(password) >= 32
        for container in stack.containers():
            assert password not in repr(container)
        assert password not in stack.compose("logs", "--no-color")

    def test_who_does_not_know_the_password_does_not_get_in(self, stack):
        connect = "import psycopg; psycopg.connect('postgresql://everycore:guess@postgres/everycore')"

        with pytest.raises(AssertionError, match="password authentication failed"):
            stack.execute("web", "python", "-c", connect)


def networks(stack: Stack, service: str) -> list[str]:
    return sorted(stack.container(service)["NetworkSettings"]["Networks"])


@pytest.mark.parametrize(("cpus", "slots"), [("0.5", 1), ("1", 1), ("2", 2)])
def test_slots_and_workers_follow_the_limit_of_the_container(stack, cpus, slots):
    def settings(service: str) -> dict[str, str]:
        check = (service, "python", "-m", "service", "check")
        said = stack.compose("run", "--rm", "--no-deps", "-T", *check, WEB_CPUS=cpus, RUNNER_CPUS=cpus)
        return dict(re.findall(r"^(SERVICE_\w+) +(\S+)", said, re.MULTILINE))

    web = settings("web")
    assert web["SERVICE_CPU_SLOTS"] == web["SERVICE_WEB_WORKERS"] == str(slots)
    # Nobody else is there for whom one should be kept.
    assert settings("runner")["SERVICE_JOB_SLOTS"] == str(slots)


def workers(stack: Stack) -> set[str]:
    """Return Gunicorn's workers: the children of the only child of the first process."""
    master = "/proc/$(cat /proc/1/task/1/children | tr -d ' ')"
    return set(stack.execute("web", "sh", "-c", f"cat {master}/task/*/children").split())


def test_a_reload_brings_new_workers_and_loses_no_request(stack):
    reload = "python -m service check && kill -HUP 1"
    assert f"docker compose exec web sh -c '{reload}'" in PAGE.read_text()
    before, restarts = workers(stack), stack.container("web")["RestartCount"]

    stack.execute("web", "sh", "-c", reload)

    def all_new() -> bool:
        assert stack.get("/healthz") == {"status": "ok"}
        return not before & workers(stack)

    eventually(all_new, 30, stack.logs)
    # To Docker it is no stop: when it dies later it is started again.
    stack.kill_main_process("web")
    eventually(lambda: stack.container("web")["RestartCount"] == restarts + 1, 30, stack.logs)
    stack.up()


def test_settings_and_keys_come_from_a_file(stack):
    (stack.folder / ".env").write_text(f"SERVICE_LOG_LEVEL=warning\nSERVICE_API_KEYS=alice:{'ab' * 32}\n")
    try:
        stack.up("--no-deps", "web")

        assert httpx.get(f"{stack.url}/healthz").status_code == 200
        assert httpx.get(f"{stack.url}/v1/tasks").status_code == 401
        assert "warning" in stack.execute("web", "python", "-m", "service", "check")
    finally:
        (stack.folder / ".env").unlink()
        stack.up()
    assert httpx.get(f"{stack.url}/v1/tasks").status_code == 200
