"""Real servers for tests: NATS with the permissions that workers have, and an S3 store."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

READY_TIMEOUT_S = 30.0
GRPC_OFFSET = 10_000
START_ATTEMPTS = 5
"""Another process can take a port between the moment it was found free and the server's start."""

WORKER_PUBLISH = [
    "millrace.rpc.>",
    "millrace.tel.>",
    "$JS.API.INFO",
    "$JS.API.CONSUMER.MSG.NEXT.MILLRACE_JOBS.>",
    "$JS.API.CONSUMER.INFO.MILLRACE_JOBS.>",
    "$JS.ACK.MILLRACE_JOBS.>",
]
WORKER_SUBSCRIBE = ["_INBOX_worker.>", "millrace.ctl.>"]


def program(name: str) -> str:
    """A server program of the environment `tools`."""
    root = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("MILLRACE_ENVS_DIR", root / ".millrace" / "envs"))
    file = folder / "tools" / "bin" / name
    assert file.exists(), f"{file} is missing; npm test makes the environment"
    return str(file)


def free_port() -> int:
    """A port that is free, and whose gRPC twin is."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if port + GRPC_OFFSET > 65_535:
                continue
            try:
                second.bind(("127.0.0.1", port + GRPC_OFFSET))
            except OSError:
                continue
            return port


class ServerEnded(Exception):
    """A server stopped before it was ready."""


class NatsServer:
    """A NATS server with JetStream; it can be stopped and started on the same port and store."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(
            f"""
            listen: "127.0.0.1:{self.port}"
            jetstream {{ store_dir: "{folder}/jetstream", max_file: 256M }}
            authorization {{ users = [
              {{ user: services, password: s, permissions: {{
                publish: ["millrace.>", "$JS.>", "_INBOX_services.>", "_INBOX_worker.>"]
                subscribe: ["millrace.>", "$JS.>", "_INBOX_services.>"] }} }}
              {{ user: worker, password: w, permissions: {{
                publish: {json.dumps(WORKER_PUBLISH)}
                subscribe: {json.dumps(WORKER_SUBSCRIBE)} }} }}
            ] }}
            """
        )

    def url(self, user: str) -> str:
        return f"nats://{user}:{user[0]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program("nats-server"), "--config", str(self._config)], stdout=log, stderr=log
            )
        _wait_until(self._greets, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self._log.read_text()

    def _greets(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"


class S3Server:
    """SeaweedFS with one bucket."""

    bucket = "millrace"
    key = "worker"
    secret = "worker-secret"  # noqa: S105

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        identity = {
            "name": "worker",
            "credentials": [{"accessKey": self.key, "secretKey": self.secret}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        for _ in range(START_ATTEMPTS - 1):
            try:
                return self._start_once(config)
            except ServerEnded:
                self.port = free_port()
        return self._start_once(config)

    def _start_once(self, config: Path) -> None:
        with (self._folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program("weed"), "server", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                    f"-master.port={free_port()}", "-master.peers=none", "-master.volumeSizeLimitMB=64",
                    f"-volume.port={free_port()}", "-volume.max=0", "-volume.preStopSeconds=0",
                    "-filer", f"-filer.port={free_port()}", "-s3", f"-s3.port={self.port}",
                    f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
                ],
                stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip
        _wait_until(self._answers, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=2):  # noqa: S310
                return True
        except urllib.error.HTTPError:
            return True


def _wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise ServerEnded(f"{process.args} ended with {process.returncode}")
        try:
            if is_ready():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")
