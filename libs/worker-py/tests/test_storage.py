"""The object store and the cache of inputs, against a real server."""

import asyncio
import hashlib
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from millrace_worker.cache import ArtifactCache
from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.errors import MillraceError
from millrace_worker.settings import S3Settings
from millrace_worker.storage import ObjectStore, blob_key, digest_of, no_report
from servers import S3Server, free_port


@pytest.fixture
async def store(s3_settings: S3Settings) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(s3_settings, outage_patience_s=1.0)
    yield store
    store.close()


def new_file(folder: Path, size: int = 3_000_000) -> tuple[Path, str, int]:
    file = folder / uuid.uuid4().hex
    file.write_bytes(uuid.uuid4().bytes * (size // 16))
    return file, *digest_of(file)


async def test_a_blob_is_stored_once_and_comes_back_whole(store: ObjectStore, tmp_path: Path) -> None:
    file, sha256, size = new_file(tmp_path)
    await store.upload_blob(file, sha256, size)
    await store.upload_blob(file, sha256, size)
    seen: list[int] = []
    await store.download(blob_key(sha256), sha256, size, tmp_path / "deep" / "copy", seen.append)
    assert digest_of(tmp_path / "deep" / "copy") == (sha256, size)
    assert sum(seen) == size
    assert len(seen) > 1, "it comes in parts, so that a long download counts as progress"


async def test_a_blob_that_others_damaged_is_noticed(
    store: ObjectStore, objects: Any, tmp_path: Path
) -> None:
    file, sha256, size = new_file(tmp_path)
    objects.put_object(Bucket=S3Server.bucket, Key=blob_key(sha256), Body=b"short")
    with pytest.raises(MillraceError) as caught:
        await store.upload_blob(file, sha256, size)
    assert caught.value.code == "artifact_corrupt"


async def test_bytes_that_changed_on_the_way_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    file, sha256, size = new_file(tmp_path)
    file.write_bytes(b"x" * size)
    with pytest.raises(MillraceError) as caught:
        await store.upload(f"jobs/{sha256}", file, sha256, size)
    assert caught.value.code == "artifact_corrupt"


@pytest.mark.parametrize("other", [b"x" * 16, b"short", b"far too many bytes for it"])
async def test_a_download_with_other_bytes_leaves_nothing(
    store: ObjectStore, objects: Any, tmp_path: Path, other: bytes
) -> None:
    sha256 = hashlib.sha256(b"y" * 16).hexdigest()
    objects.put_object(Bucket=S3Server.bucket, Key="other", Body=other)
    with pytest.raises(MillraceError) as caught:
        await store.download("other", sha256, 16, tmp_path / "copy", no_report)
    assert caught.value.code == "artifact_corrupt"
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_object_is_said_at_once(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(MillraceError) as caught:
        await store.download("nowhere", "0" * 64, 1, tmp_path / "copy", no_report)
    assert caught.value.code == "artifact_missing"


async def test_a_store_that_is_away_is_waited_for_within_bounds(
    tmp_path: Path,
) -> None:
    away = S3Settings(
        endpoint=f"http://127.0.0.1:{free_port()}",
        region="us-east-1",
        bucket="millrace",
        access_key_id="a",
        secret_access_key="b",  # noqa: S106
    )
    store = ObjectStore(away, outage_patience_s=1.0)
    started = time.monotonic()
    with pytest.raises(MillraceError) as caught:
        await store.download("any", "0" * 64, 1, tmp_path / "copy", no_report)
    assert (caught.value.code, caught.value.retryable) == ("storage_unavailable", True)
    assert time.monotonic() - started < 10


async def placed(cache: ArtifactCache, folder: Path, name: str, sha256: str, size: int) -> Path:
    await cache.place_all([ArtifactRef(path=name, sha256=sha256, size_bytes=size)], folder, no_report)
    return folder / name


async def test_an_input_is_fetched_once_and_checked_at_each_use(
    store: ObjectStore, objects: Any, tmp_path: Path
) -> None:
    file, sha256, size = new_file(tmp_path)
    await store.upload_blob(file, sha256, size)
    cache = ArtifactCache(tmp_path / "cache", store)
    first = await placed(cache, tmp_path / "job-1", "deep/x", sha256, size)
    assert digest_of(first) == (sha256, size)

    blob = tmp_path / "cache" / "cas" / sha256[:2] / sha256
    blob.chmod(0o600)
    blob.write_bytes(b"x" * size)
    second = await placed(cache, tmp_path / "job-2", "x", sha256, size)
    assert digest_of(second) == (sha256, size)

    objects.delete_object(Bucket=S3Server.bucket, Key=blob_key(sha256))
    third = await placed(cache, tmp_path / "job-3", "x", sha256, size)
    assert digest_of(third) == (sha256, size)


async def test_the_cache_keeps_its_bound_and_what_was_used_last(store: ObjectStore, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", store, max_bytes=2_500_000)
    names: list[str] = []
    for number in range(3):
        file, sha256, size = new_file(tmp_path, 1_000_000)
        await store.upload_blob(file, sha256, size)
        await placed(cache, tmp_path / f"job-{number}", "x", sha256, size)
        names.append(sha256)
        time.sleep(0.02)
        if number == 1:
            await placed(cache, tmp_path / "again", "x", names[0], size)
            time.sleep(0.02)
    kept = {blob.name for blob in (tmp_path / "cache" / "cas").glob("*/*")}
    assert kept == {names[0], names[2]}
    assert (tmp_path / "job-1" / "x").exists(), "a job keeps its file when the cache lets go of it"


class CountingStore:
    """The real store, and which blobs were asked of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.fetched: list[str] = []

    async def download(self, key: str, *others: Any) -> None:
        self.fetched.append(key)
        await self._store.download(key, *others)


async def test_jobs_that_want_a_blob_at_once_fetch_it_once(store: ObjectStore, tmp_path: Path) -> None:
    file, sha256, size = new_file(tmp_path, 3_000_000)
    await store.upload_blob(file, sha256, size)
    counted: Any = CountingStore(store)
    # a cache each, as two workers of a machine have
    caches = [ArtifactCache(tmp_path / "cache", counted) for _ in range(4)]
    found = await asyncio.gather(
        *(placed(cache, tmp_path / f"job-{number}", "x", sha256, size) for number, cache in enumerate(caches))
    )
    assert [digest_of(one) for one in found] == [(sha256, size)] * 4
    assert counted.fetched == [blob_key(sha256)]


async def test_what_was_evicted_is_fetched_again_and_a_file_over_the_bound_still_reaches_its_job(
    store: ObjectStore, tmp_path: Path
) -> None:
    counted: Any = CountingStore(store)
    cache = ArtifactCache(tmp_path / "cache", counted, max_bytes=1_500_000)
    names: list[str] = []
    for number, wanted in enumerate((1_000_000, 2_000_000)):
        file, sha256, size = new_file(tmp_path, wanted)
        await store.upload_blob(file, sha256, size)
        assert digest_of(await placed(cache, tmp_path / f"job-{number}", "x", sha256, size)) == (sha256, size)
        names.append(sha256)
    assert list((tmp_path / "cache" / "cas").glob("*/*")) == [], (
        "both had to go: the second alone is over the bound"
    )
    again = await placed(cache, tmp_path / "again", "x", names[0], 1_000_000)
    assert digest_of(again) == (names[0], 1_000_000)
    assert counted.fetched == [blob_key(names[0]), blob_key(names[1]), blob_key(names[0])]


async def test_a_worker_that_was_killed_while_it_fetched_holds_nobody_up(
    store: ObjectStore, tmp_path: Path
) -> None:
    file, sha256, size = new_file(tmp_path)
    await store.upload_blob(file, sha256, size)
    cache = ArtifactCache(tmp_path / "cache", store)
    lock = tmp_path / "cache" / "locks" / sha256[:2]
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, 2); "
         "print('held', flush=True); sys.stdin.read()", str(lock)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    waiting = asyncio.create_task(placed(cache, tmp_path / "job", "x", sha256, size))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    holder.kill()
    holder.wait()
    assert digest_of(await asyncio.wait_for(waiting, 30)) == (sha256, size)


async def test_two_files_at_one_path_are_refused(store: ObjectStore, tmp_path: Path) -> None:
    file = ArtifactRef(path="x", sha256="0" * 64, size_bytes=1)
    with pytest.raises(MillraceError) as caught:
        await ArtifactCache(tmp_path, store).place_all([file, file], tmp_path / "job", no_report)
    assert caught.value.code == "invalid_artifact_path"
