"""The service does what its contract says, whatever is sent: schemathesis against real workers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service import keys
from tests.e2e.running import ROOT, Service

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

#: Cases for each operation and phase; more find the same, later.
EXAMPLES = 20


@pytest.mark.timeout(900)  # no matter how busy the machine is: the number of requests is what bounds it
def test_no_request_made_from_the_contract_breaks_it(serve: Callable[..., Service], tmp_path: Path) -> None:
    # Given a service that asks for a key and gives no call much time
    text, key = keys.new("tester")
    service = serve(SERVICE_API_KEYS=key.line(), SERVICE_REQUEST_TIMEOUT_MAX="0.5", SERVICE_WEB_WORKERS="2")

    contract = httpx.get(f"{service.url}/openapi.json", headers={"Authorization": f"Bearer {text}"})
    # From a file: schemathesis leaves out the operation that the contract came from.
    (tmp_path / "openapi.json").write_bytes(contract.content)

    # When requests are made from its contract: right ones, wrong ones, and such at the borders
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(CONFIGURATION)),
            *("run", "openapi.json", "--url", service.url, "--header", f"Authorization: Bearer {text}"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
            *("--seed", "1", "--request-timeout", "20", "--generation-database", "none"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    # Then each answer is one that the contract has
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    operations = sum(len(methods) for methods in contract.json()["paths"].values())
    assert f"Tested: {operations}" in run.stdout, run.stdout
    # And nothing went wrong that no answer told
    assert "internal error" not in service.log.read_text()
    assert len(service.workers()) == 2
