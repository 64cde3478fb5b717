"""What a worker says about its environment."""

import json
import subprocess
import sys

import pytest
from millrace_worker.settings import EXIT_CONFIG, SettingsError, read_settings

GOOD = {
    "MILLRACE_NATS_URL": "nats://worker:secret@127.0.0.1:4222",
    "MILLRACE_NATS_INBOX_PREFIX": "_INBOX_worker",
    "MILLRACE_S3_ENDPOINT": "http://127.0.0.1:8333",
    "MILLRACE_S3_REGION": "us-east-1",
    "MILLRACE_S3_BUCKET": "millrace",
    "MILLRACE_S3_ACCESS_KEY_ID": "worker",
    "MILLRACE_S3_SECRET_ACCESS_KEY": "very secret",
    "MILLRACE_WORKER_CACHE_DIR": "/tmp/cache",  # noqa: S108
}


def test_defaults_and_secrets() -> None:
    settings = read_settings(GOOD)
    assert (settings.pool, settings.log_level) == ("cpu", "info")
    assert "secret" not in repr(settings)


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(
            {"MILLRACE_NATS_URL": "http://x", "MILLRACE_WORKER_POOL": "tpu", "MILLRACE_S3_BUCKET": "A"}
        )
    text = "\n".join(caught.value.faults)
    for name in (*GOOD, "MILLRACE_WORKER_POOL"):
        assert name in text
    assert len(caught.value.faults) == len(GOOD) + 1


def test_a_worker_with_faults_exits_with_78(worker_environment: dict[str, str]) -> None:
    environment = {**worker_environment, "MILLRACE_S3_BUCKET": "", "MILLRACE_WORKER_POOL": "tpu"}
    done = subprocess.run(
        [sys.executable, "-m", "worker_under_test"],
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == EXIT_CONFIG
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["level"] for line in lines] == ["error", "error"]
    assert lines[0]["service"] == "test-worker"
