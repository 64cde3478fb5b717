"""SHA-256 of files, and the list of files that a job's result names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypedDict

_CHUNK_BYTES = 1 << 20


class FileEntry(TypedDict):
    """One file of a result: path relative to its folder with forward slashes, digest, size in bytes."""

    path: str
    sha256: str
    sizeBytes: int


def sha256_file(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_files(folder: Path) -> list[FileEntry]:
    """Every file under `folder`, sorted by path."""
    paths = sorted(path for path in folder.rglob('*') if path.is_file())
    return [
        {
            'path': path.relative_to(folder).as_posix(),
            'sha256': sha256_file(path),
            'sizeBytes': path.stat().st_size,
        }
        for path in paths
    ]


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files under a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob('*') if inner.is_file())
