"""Inputs of jobs on local disk, named by their digest and bounded in bytes."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

from millrace_worker.contracts.models import ArtifactRef
from millrace_worker.errors import MillraceError
from millrace_worker.paths import safe_join
from millrace_worker.storage import ObjectStore, OnBytes, blob_key, digest_of

# Holds the datasets of the last jobs; the oldest are removed first.
CACHE_MAX_BYTES = 8 << 30


class ArtifactCache:
    """Fetches blobs once; several workers of a machine may share the folder.

    Each use checks the bytes again, because a program could have changed them through a link.
    """

    def __init__(self, folder: Path, store: ObjectStore, max_bytes: int = CACHE_MAX_BYTES) -> None:
        self._folder = folder / "cas"
        self._store = store
        self._max_bytes = max_bytes
        self._folder.mkdir(parents=True, exist_ok=True)

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
        if not await asyncio.to_thread(_is_intact, blob, file):
            await self._store.download(blob_key(file.sha256), file.sha256, file.size_bytes, blob, on_bytes)
        await asyncio.to_thread(_link, blob, target)
        on_bytes(0)

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


def _is_intact(blob: Path, file: ArtifactRef) -> bool:
    try:
        facts = blob.lstat()
        may_be = stat.S_ISREG(facts.st_mode) and facts.st_size == file.size_bytes
        if may_be and digest_of(blob) == (file.sha256, file.size_bytes):
            os.utime(blob)
            return True
        # a link would lead to bytes that can change after this look
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(blob)
        else:
            blob.unlink()
    except FileNotFoundError:
        pass
    return False


def _link(blob: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        blob.chmod(0o444)
        os.link(blob, target)
    except OSError:
        shutil.copyfile(blob, target)
