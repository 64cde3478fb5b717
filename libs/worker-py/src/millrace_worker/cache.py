"""Inputs of jobs on local disk, Arrow files of datasets above all: named by digest and bounded in bytes."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.errors import MillraceError
from millrace_worker.paths import safe_join
from millrace_worker.storage import ObjectStore, OnBytes, blob_key, digest_of

CACHE_MAX_BYTES = 8 << 30
"""Holds the datasets of the last jobs; what was not used for longest is removed first."""

LOCK_POLL_S = 0.1


class ArtifactCache:
    """Fetches blobs once; several workers of a machine may share the folder.

    A blob that two jobs want at once is fetched by one of them. Each use checks the bytes again, because a
    program could have changed them through a link; what the cache lets go of stays with the jobs that use it.
    """

    def __init__(self, folder: Path, store: ObjectStore, max_bytes: int = CACHE_MAX_BYTES) -> None:
        self._folder = folder / "cas"
        self._locks = folder / "locks"
        self._store = store
        self._max_bytes = max_bytes
        self._folder.mkdir(parents=True, exist_ok=True)
        self._locks.mkdir(parents=True, exist_ok=True)

    async def place_all(self, files: list[ArtifactRef], folder: Path, on_bytes: OnBytes) -> None:
        """Puts every file at its path under `folder`.

        Raises:
            MillraceError: `invalid_artifact_path` before anything is fetched, or the store's.
        """
        targets = [(file, safe_join(folder, file.path)) for file in files]
        places = {target for _, target in targets}
        if len(places) != len(targets):
            raise MillraceError("invalid_artifact_path", "Two files of the package have the same path.")
        if any(parent in places for place in places for parent in place.parents):
            raise MillraceError("invalid_artifact_path", "A file of the package lies inside another.")
        folder.mkdir(parents=True, exist_ok=True)
        for file, target in targets:
            await self._place(file, target, on_bytes)
        await asyncio.to_thread(self._evict)

    async def _place(self, file: ArtifactRef, target: Path, on_bytes: OnBytes) -> None:
        blob = self._folder / file.sha256[:2] / file.sha256
        async with self._alone(file.sha256, on_bytes):
            if not await asyncio.to_thread(_take, blob, file, target):
                # to the job first: another worker may need the room in the cache at once
                await self._store.download(
                    blob_key(file.sha256), file.sha256, file.size_bytes, target, on_bytes
                )
                await asyncio.to_thread(_keep, target, blob)
        on_bytes(0)

    @contextlib.asynccontextmanager
    async def _alone(self, sha256: str, on_bytes: OnBytes) -> AsyncGenerator[None, None]:
        """Holds the digest among all workers of the machine; the kernel lets go of it if this one dies."""
        descriptor = os.open(self._locks / sha256[:2], os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    on_bytes(0)
                    await asyncio.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def _evict(self) -> None:
        entries: list[tuple[float, int, Path]] = []
        for blob in self._folder.glob("*/*"):
            try:
                facts = blob.stat()
            except FileNotFoundError:
                continue
            entries.append((facts.st_mtime, facts.st_size, blob))
        total = sum(size for _, size, _ in entries)
        for _, size, blob in sorted(entries):
            if total <= self._max_bytes:
                return
            blob.unlink(missing_ok=True)
            total -= size


def _take(blob: Path, file: ArtifactRef, target: Path) -> bool:
    """Puts the cached bytes at `target` and reads them there, where nobody evicts them; else removes them."""
    try:
        facts = blob.lstat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size == file.size_bytes:
            _link(blob, target)
            if digest_of(target) == (file.sha256, file.size_bytes):
                os.utime(blob)
                return True
            target.unlink()
        # a link would lead to bytes that can change after this look
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(blob)
        else:
            blob.unlink()
    except FileNotFoundError:
        target.unlink(missing_ok=True)
    return False


def _keep(file: Path, blob: Path) -> None:
    """Takes a file, whose bytes were checked as they came, into the cache."""
    blob.parent.mkdir(parents=True, exist_ok=True)
    draft = blob.with_name(f".{blob.name}.{os.getpid()}.{time.monotonic_ns()}")
    _link(file, draft)
    draft.replace(blob)
    os.utime(blob)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.chmod(0o444)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
