"""What ``docs/how-to/operate.md`` says about backups of PostgreSQL."""

import httpx
import pytest

from tests.containers.stack import Stack, eventually
from tests.observability import OPERATE

pytestmark = pytest.mark.timeout(400)

DUMP = "pg_dump -U everycore --format=custom everycore"
RESTORE = "pg_restore -U everycore --dbname=everycore --clean --if-exists --single-transaction"


def submitted(stack: Stack, n: int) -> str:
    answer = httpx.post(f"{stack.url}/v1/jobs", json={"task": "sum_of_squares", "args": {"n": n}}, timeout=30)
    assert answer.status_code == 202
    href: str = answer.json()["href"]
    eventually(lambda: stack.get(href)["state"] == "succeeded", 30, stack.logs)
    return href


def test_what_was_there_before_the_backup_is_there_after_it_was_restored(stack):
    assert f"exec -T postgres {DUMP} > " in OPERATE.read_text()
    assert f"exec -T postgres {RESTORE} < " in OPERATE.read_text()
    before = submitted(stack, 5)

    stack.execute("postgres", "sh", "-c", f"{DUMP} > /tmp/everycore.dump")
    after = submitted(stack, 6)
    stack.compose("stop", "web", "runner")
    try:
        stack.execute("postgres", "sh", "-c", f"{RESTORE} < /tmp/everycore.dump")
    finally:
        stack.execute("postgres", "rm", "/tmp/everycore.dump")
        stack.up()

    assert stack.get(before)["result"] == 30
    assert httpx.get(f"{stack.url}{after}", timeout=30).status_code == 404
    submitted(stack, 7)
