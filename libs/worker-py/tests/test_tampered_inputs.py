"""The inputs of a job, tampered with as somebody could who writes to the object store or the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from millrace_worker.cache import ArtifactCache
from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.errors import MillraceError
from millrace_worker.settings import S3Settings
from millrace_worker.storage import ObjectStore, blob_key, no_report
from servers import S3Server

FILES = {"saved_model.pb": b"graph" * 400, "variables/variables.data": b"weights" * 300}
OLDER = b"an older model" * 100


def ref(path: str, content: bytes) -> ArtifactRef:
    return ArtifactRef(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


@dataclass(frozen=True)
class Job:
    """The files that a job names, and where the object store and the cache of the worker have them."""

    files: list[ArtifactRef]
    objects: Any
    cache: Path

    def store(self, index: int, content: bytes | None) -> None:
        key = blob_key(self.files[index].sha256)
        if content is None:
            self.objects.delete_object(Bucket=S3Server.bucket, Key=key)
        else:
            self.objects.put_object(Bucket=S3Server.bucket, Key=key, Body=content)

    def cached(self, index: int) -> Path:
        sha256 = self.files[index].sha256
        blob = self.cache / "cas" / sha256[:2] / sha256
        blob.parent.mkdir(parents=True, exist_ok=True)
        return blob


Tamper = Callable[[Job], Job | None]


def content_of(index: int) -> bytes:
    return list(FILES.values())[index]


def stored(index: int, change: Callable[[bytes], bytes | None]) -> Tamper:
    return lambda job: job.store(index, change(content_of(index)))


def named(path: str) -> Tamper:
    """The job names another place for its second file."""

    def tamper(job: Job) -> Job:
        first, second = job.files
        return replace(job, files=[first, second.model_copy(update={"path": path})])

    return tamper


def described(**update: Any) -> Tamper:
    def tamper(job: Job) -> Job:
        first, second = job.files
        return replace(job, files=[first, second.model_copy(update=update)])

    return tamper


def swapped(job: Job) -> None:
    job.store(0, content_of(1))
    job.store(1, content_of(0))


def poisoned(job: Job) -> None:
    """The cache and the object store have the same other bytes."""
    job.cached(1).write_bytes(flipped(content_of(1), 0))
    job.store(1, flipped(content_of(1), 0))


def linked(job: Job) -> None:
    """The cache has a link to good bytes, which could change after they were looked at."""
    outside = job.cache.parent / "outside"
    outside.write_bytes(content_of(1))
    job.cached(1).symlink_to(outside)
    job.store(1, None)


def dangling(job: Job) -> None:
    job.cached(1).symlink_to(job.cache / "nowhere")
    job.store(1, OLDER)


def folder(job: Job) -> None:
    (job.cached(1) / "inside").mkdir(parents=True)
    job.store(1, OLDER)


def device(job: Job) -> None:
    os.mkfifo(job.cached(1))
    job.store(1, None)


CORRUPT, MISSING, PATH = "artifact_corrupt", "artifact_missing", "invalid_artifact_path"
CASES: list[tuple[str, Tamper, str]] = [
    *(
        (f"{what} of file {index}", stored(index, change), CORRUPT)
        for index in (0, 1)
        for what, change in (
            ("first bit", lambda content: flipped(content, 0)),
            ("last bit", lambda content: flipped(content, -1)),
            ("middle bit", lambda content: flipped(content, len(content) // 2)),
            ("last byte cut off", lambda content: content[:-1]),
            ("half cut off", lambda content: content[: len(content) // 2]),
            ("all cut off", lambda _: b""),
            ("byte more at the end", lambda content: content + b"x"),
            ("byte more at the beginning", lambda content: b"x" + content),
            ("older bytes", lambda _: OLDER),
        )
    ),
    ("file 0 missing", stored(0, lambda _: None), MISSING),
    ("file 1 missing", stored(1, lambda _: None), MISSING),
    ("each with the bytes of the other", swapped, CORRUPT),
    ("size too small", described(size_bytes=len(content_of(1)) - 1), CORRUPT),
    ("size too large", described(size_bytes=len(content_of(1)) + 1), CORRUPT),
    ("cache and store changed alike", poisoned, CORRUPT),
    ("a link in the cache, nothing in the store", linked, MISSING),
    ("a dangling link in the cache", dangling, CORRUPT),
    ("a folder in the cache", folder, CORRUPT),
    ("a pipe in the cache", device, MISSING),
    *(
        (f"placed at {path!r}", named(path), PATH)
        for path in (
            "../escaped",
            "variables/../../escaped",
            "/etc/escaped",
            "./variables",
            "variables//data",
            "variables/",
            "variables\\data",
            "C:\\escaped",
            "name\x00.pb",
            "name\n.pb",
            "x" * 1025,
            "saved_model.pb",
            "saved_model.pb/inside",
        )
    ),
]


@pytest.fixture
def job(objects: Any, tmp_path: Path) -> Job:
    made = Job([ref(path, content) for path, content in FILES.items()], objects, tmp_path / "cache")
    for index in range(len(FILES)):
        made.store(index, content_of(index))
    return made


async def placed(job: Job, settings: S3Settings, target: Path) -> str:
    store = ObjectStore(settings, outage_patience_s=1.0)
    try:
        await ArtifactCache(job.cache, store).place_all(job.files, target, no_report)
    except MillraceError as error:
        return error.code
    finally:
        store.close()
    return "placed"


def test_there_are_at_least_thirty_ways_each_with_a_name_of_its_own() -> None:
    assert len(CASES) >= 30
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("tamper", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_is_refused(
    job: Job, s3_settings: S3Settings, tmp_path: Path, tamper: Tamper, code: str
) -> None:
    changed = tamper(job) or job
    target = tmp_path / "job" / "inputs"
    assert await placed(changed, s3_settings, target) == code
    good = {hashlib.sha256(content).hexdigest() for content in FILES.values()}
    left = [file for file in (tmp_path / "job").rglob("*") if not file.is_dir()]
    assert all(hashlib.sha256(file.read_bytes()).hexdigest() in good for file in left)
    assert not list(tmp_path.rglob("escaped"))


async def test_what_was_not_touched_is_placed_also_after_somebody_changed_the_cache(
    job: Job, s3_settings: S3Settings, tmp_path: Path
) -> None:
    assert await placed(job, s3_settings, tmp_path / "one") == "placed"
    job.cached(0).chmod(0o600)
    job.cached(0).write_bytes(OLDER)
    job.cached(1).unlink()
    job.cached(1).symlink_to(job.cached(0))
    assert await placed(job, s3_settings, tmp_path / "two") == "placed"
    for path, content in FILES.items():
        file = tmp_path / "two" / path
        assert not file.is_symlink()
        assert file.read_bytes() == content
