"""What a worker reads from its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from millrace_worker.log import LEVEL_BY_NAME

EXIT_CONFIG = 78
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_INBOX_PREFIX = re.compile(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")

Pool = Literal["cpu", "gpu", "torch", "analysis"]


class SettingsError(Exception):
    """The environment has faults; `faults` holds a sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    nats_url: str = field(repr=False)
    nats_inbox_prefix: str
    s3: S3Settings
    pool: Pool
    cache_dir: Path
    log_level: str


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from the environment.

    Raises:
        SettingsError: with every fault at once.
    """
    faults: list[str] = []

    def required(name: str, example: str, pattern: re.Pattern[str] | None = None) -> str:
        value = env.get(name, "").strip()
        if not value:
            faults.append(f"{name} is not set; give it a value such as {example}.")
        elif pattern is not None and not pattern.match(value):
            faults.append(f"{name} is not valid; give it a value such as {example}.")
        return value

    def choice(name: str, default: str, allowed: list[str]) -> str:
        value = env.get(name, "").strip() or default
        if value not in allowed:
            faults.append(f"{name} must be one of {', '.join(allowed)}.")
        return value

    settings = Settings(
        nats_url=required(
            "MILLRACE_NATS_URL", "nats://worker:password@127.0.0.1:4222", re.compile("^(nats|tls)://.")
        ),
        nats_inbox_prefix=required("MILLRACE_NATS_INBOX_PREFIX", "_INBOX_worker", _INBOX_PREFIX),
        s3=S3Settings(
            endpoint=required("MILLRACE_S3_ENDPOINT", "http://127.0.0.1:8333", re.compile("^https?://.")),
            region=required("MILLRACE_S3_REGION", "us-east-1"),
            bucket=required("MILLRACE_S3_BUCKET", "millrace", _BUCKET),
            access_key_id=required("MILLRACE_S3_ACCESS_KEY_ID", "worker"),
            secret_access_key=required("MILLRACE_S3_SECRET_ACCESS_KEY", "a secret"),
        ),
        pool=cast(Pool, choice("MILLRACE_WORKER_POOL", "cpu", list(get_args(Pool)))),
        cache_dir=Path(required("MILLRACE_WORKER_CACHE_DIR", "/var/cache/millrace")),
        log_level=choice("MILLRACE_LOG_LEVEL", "info", list(LEVEL_BY_NAME)),
    )
    if faults:
        raise SettingsError(faults)
    return settings
