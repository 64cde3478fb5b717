"""A `.keras` file whose bytes repeat: what it holds of the clock and of a process's memory is taken out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, cast

_METADATA, _CONFIG = 'metadata.json', 'config.json'
_SHARED = 'shared_object_id'
_NO_DATE = '1980-01-01@00:00:00'
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can state."""


def normalise_keras(path: Path) -> None:
    """Rewrite the `.keras` file at `path` so that equal models give equal bytes; it loads as before.

    Three things differ between two saves of one model: the zip's times, `date_saved`, and across processes
    the `shared_object_id` of shared objects, a memory address: it becomes the rank of its first appearance.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    draft = path.with_suffix('.draft')
    with zipfile.ZipFile(draft, 'w', zipfile.ZIP_STORED) as archive:
        for name, data in sorted(entries):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), _normalised(name, data))
    draft.replace(path)


def _normalised(name: str, data: bytes) -> bytes:
    if name == _METADATA:
        return _json({**json.loads(data), 'date_saved': _NO_DATE})
    if name == _CONFIG:
        return _json(_renumbered(json.loads(data), {}))
    return data


def _renumbered(value: Any, numbers: dict[int, int]) -> Any:
    """`value` with each shared_object_id replaced by the rank of its first appearance, from 1."""
    if isinstance(value, list):
        return [_renumbered(item, numbers) for item in cast('list[Any]', value)]
    if not isinstance(value, dict):
        return value
    found = cast('dict[str, Any]', value)
    return {
        key: numbers.setdefault(item, len(numbers) + 1) if key == _SHARED else _renumbered(item, numbers)
        for key, item in found.items()
    }


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
