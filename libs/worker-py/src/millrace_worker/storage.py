"""The object store: content-addressed blobs and checkpoints, each write and read checked by its digest."""

import asyncio
import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from millrace_worker.errors import MillraceError
from millrace_worker.settings import S3Settings

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
PARALLEL_TRANSFERS = 4
CHUNK_BYTES = 1 << 20
# An outage shorter than this is waited out; a longer one fails the job, which is then tried again.
OUTAGE_PATIENCE_S = 60.0
# Bytes that differ may be a broken transfer, but not again and again.
CORRUPT_ATTEMPTS = 2
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 4.0

OnBytes = Callable[[int], None]


def no_report(_: int) -> None:
    """For transfers that nobody watches."""


def digest_of(file: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes of a file."""
    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def blob_key(sha256: str) -> str:
    """Where the blob of a digest lies in the bucket."""
    return f"cas/{sha256[:2]}/{sha256}"


class ObjectStore:
    """One bucket.

    Every method raises MillraceError: `storage_unavailable`, `artifact_missing` or `artifact_corrupt`.
    """

    def __init__(self, settings: S3Settings, outage_patience_s: float = OUTAGE_PATIENCE_S) -> None:
        self._bucket = settings.bucket
        self._patience_s = outage_patience_s
        self._threads = ThreadPoolExecutor(PARALLEL_TRANSFERS, thread_name_prefix="s3")
        create_client = cast(Callable[..., Any], boto3.client)  # pyright: ignore[reportUnknownMemberType]
        self._client: Any = create_client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                max_pool_connections=PARALLEL_TRANSFERS,
                retries={"mode": "standard", "max_attempts": 2},
                s3={"addressing_style": "path"},
            ),
        )

    async def download(self, key: str, sha256: str, size_bytes: int, target: Path, on_bytes: OnBytes) -> None:
        """Fetches an object to `target` (atomically) if its bytes have the digest."""
        await self._persist(lambda: self._download(key, sha256, size_bytes, target, on_bytes))

    async def upload_blob(self, file: Path, sha256: str, size_bytes: int) -> None:
        """Puts a file at the key of its digest; one that is there already is left alone."""
        await self._persist(lambda: self._upload(blob_key(sha256), file, sha256, size_bytes, is_new=True))

    async def upload(self, key: str, file: Path, sha256: str, size_bytes: int) -> None:
        """Puts a file at `key` and reads its size and digest back."""
        await self._persist(lambda: self._upload(key, file, sha256, size_bytes, is_new=False))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _persist(self, work: Callable[[], T]) -> T:
        """Runs blocking work in a thread, again while the store is away."""
        give_up = time.monotonic() + self._patience_s
        delay = RETRY_FIRST_S
        corrupt = 0
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except MillraceError as error:
                corrupt += error.code == "artifact_corrupt"
                is_over = time.monotonic() + delay > give_up or corrupt >= CORRUPT_ATTEMPTS
                if error.code == "artifact_missing" or not error.retryable or is_over:
                    raise
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY_MAX_S)

    def _download(self, key: str, sha256: str, size_bytes: int, target: Path, on_bytes: OnBytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name[:100]}.{os.getpid()}.{time.monotonic_ns()}")
        digest = hashlib.sha256()
        received = 0
        try:
            body = self._attempt(lambda: self._client.get_object(Bucket=self._bucket, Key=key)["Body"])
            with partial.open("xb") as stream:
                while chunk := self._attempt(lambda: body.read(CHUNK_BYTES)):
                    received += len(chunk)
                    if received > size_bytes:
                        break
                    digest.update(chunk)
                    stream.write(chunk)
                    on_bytes(len(chunk))
            if received != size_bytes or digest.hexdigest() != sha256:
                raise MillraceError(
                    "artifact_corrupt", f"The object {key} does not have the bytes of its digest."
                )
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _upload(self, key: str, file: Path, sha256: str, size_bytes: int, *, is_new: bool) -> None:
        condition = {"IfNoneMatch": "*"} if is_new else {}
        with file.open("rb") as stream, contextlib.suppress(_Exists):
            self._attempt(
                lambda: self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=stream,
                    ContentLength=size_bytes,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode("ascii"),
                    Metadata={"sha256": sha256},
                    **condition,
                )
            )
        self._verify(key, sha256, size_bytes)

    def _verify(self, key: str, sha256: str, size_bytes: int) -> None:
        head = self._attempt(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        # blobs that other writers put carry their digest in their key
        stored = head.get("Metadata", {}).get("sha256", sha256 if key.endswith(sha256) else "")
        if head["ContentLength"] != size_bytes or stored != sha256:
            raise MillraceError("artifact_corrupt", f"The object {key} was not stored as it was sent.")

    def _attempt(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ClientError as error:
            response: Any = error.response
            status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code = str(response.get("Error", {}).get("Code", ""))
            if status == 412:
                raise _Exists from error
            if status == 404:
                raise MillraceError(
                    "artifact_missing", f"The object store has no such object ({code})."
                ) from error
            if code in ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"):
                raise MillraceError(
                    "artifact_corrupt", f"The object store refused the bytes ({code})."
                ) from error
            raise MillraceError(
                "storage_unavailable", f"The object store answered {status} {code}."
            ) from error
        except (BotoCoreError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            reason = type(error).__name__
            raise MillraceError(
                "storage_unavailable", f"The object store does not answer ({reason})."
            ) from error


class _Exists(Exception):
    """The store has an object at this key already."""
