"""SHA-256 digests of files and of canonical JSON, in the form `sha256:<64 hex digits>`'s bare hex part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

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


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; NaN and infinities are refused with ValueError."""
    return json.dumps(
        value, sort_keys=True, separators=(',', ':'), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_json(value: Any) -> str:
    """SHA-256 of `canonical_json(value)` as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def list_files(folder: Path, names: Iterable[str] | None = None) -> list[FileEntry]:
    """The files under `folder` (all, or those named), sorted by path."""
    if names is None:
        paths = [path for path in folder.rglob('*') if path.is_file()]
    else:
        paths = [folder / name for name in names]
    entries: list[FileEntry] = [
        {
            'path': path.relative_to(folder).as_posix(),
            'sha256': sha256_file(path),
            'sizeBytes': path.stat().st_size,
        }
        for path in paths
    ]
    return sorted(entries, key=lambda entry: entry['path'])
