"""The real inference service, once a run."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STOP_TIMEOUT_S = 60


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Address of a service that has the models classifier, types and texts."""
    node = ROOT / "node_modules" / ".bin" / "node"
    command = [str(node), "--no-warnings", str(ROOT / "tests" / "clients" / "serve.ts")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line != "", "the service did not start; its words are above"
            found: str = json.loads(line)["url"]
            yield found
        finally:
            process.stdin.close()
            assert process.wait(STOP_TIMEOUT_S) == 0
