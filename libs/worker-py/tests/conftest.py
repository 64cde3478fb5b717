# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Servers once a run, a clean bus for each test, and worker processes that end with their test."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import nats
import pytest
from millrace_worker.settings import S3Settings
from peer import Peer
from servers import NatsServer, S3Server

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        client(server).create_bucket(Bucket=server.bucket)
        yield server
    finally:
        server.stop()


def client(server: S3Server) -> Any:
    return boto3.client(  # pyright: ignore
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
    )


@pytest.fixture
def objects(s3: S3Server) -> Any:
    """A plain S3 client, to look at what a worker stored."""
    return client(s3)


@pytest.fixture
def s3_settings(s3: S3Server) -> S3Settings:
    return S3Settings(
        endpoint=s3.endpoint,
        region="us-east-1",
        bucket=s3.bucket,
        access_key_id=s3.key,
        secret_access_key=s3.secret,
    )


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def peer(nats_server: NatsServer) -> AsyncIterator[Peer]:
    connection = await nats.connect(
        nats_server.url("services"),
        inbox_prefix="_INBOX_services",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # pyright: ignore
    )
    peer = Peer(connection)
    await peer.start()
    yield peer
    await connection.close()


class WorkerProcess:
    """A worker as its own process; `log` is what it wrote."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker_under_test"], env=environment, stdout=output, stderr=output
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, timeout_s: float = 25.0) -> int:
        return await asyncio.to_thread(self.process.wait, timeout_s)


@pytest.fixture
def worker_environment(nats_server: NatsServer, s3: S3Server, tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")},
        "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}",
        "MILLRACE_NATS_URL": nats_server.url("worker"),
        "MILLRACE_NATS_INBOX_PREFIX": "_INBOX_worker",
        "MILLRACE_S3_ENDPOINT": s3.endpoint,
        "MILLRACE_S3_REGION": "us-east-1",
        "MILLRACE_S3_BUCKET": s3.bucket,
        "MILLRACE_S3_ACCESS_KEY_ID": s3.key,
        "MILLRACE_S3_SECRET_ACCESS_KEY": s3.secret,
        "MILLRACE_WORKER_CACHE_DIR": str(tmp_path / "cache"),
        "MILLRACE_LOG_LEVEL": "debug",
        # stands for what changes how programs load, and reaches no child
        "LD_BIND_NOW": "1",
    }


@pytest.fixture
def start_worker(worker_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        worker = WorkerProcess(worker_environment, tmp_path / f"worker-{len(started)}.log")
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
        sys.stderr.write(worker.log)
