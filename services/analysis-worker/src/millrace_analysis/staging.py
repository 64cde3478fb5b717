"""The files of a source on local disk, counted as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import IngestError
from .limits import Limits

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StagedFile:
    """One file: its name in the source, and where its bytes are."""

    name: str
    path: Path


@dataclass
class Staging:
    """Takes streams into files of a folder, within `filesMax` and `sourceBytesMax`."""

    folder: Path
    limits: Limits
    on_bytes: Callable[[int], None]
    """Called with the bytes so far; raises Stopped when the job is to end."""
    files: list[StagedFile] = field(default_factory=list[StagedFile])
    total_bytes: int = 0

    def take(self, name: str, chunks: Iterable[bytes], expected_bytes: int | None) -> StagedFile:
        """Writes a stream to disk; `source_incomplete` when it is not as long as was said."""
        path = self._next(name)
        received = 0
        with path.open('xb') as out:
            for chunk in chunks:
                received += len(chunk)
                self._count(len(chunk), name)
                if expected_bytes is not None and received > expected_bytes:
                    break
                out.write(chunk)
        if expected_bytes is not None and received != expected_bytes:
            raise IngestError(
                'source_incomplete',
                f'{name} was announced with {expected_bytes} bytes and sent '
                f'{"more" if received > expected_bytes else received}.',
                retryable=True,
            )
        return self._add(name, path)

    def link(self, name: str, path: Path) -> StagedFile:
        """Takes a file that is on this disk already, without a copy."""
        self._check_count()
        self._count(path.stat().st_size, name)
        return self._add(name, path)

    def finish(self) -> list[StagedFile]:
        """The files in the order of their names; `source_empty` when there is none."""
        if not self.files:
            raise IngestError('source_empty', 'The source has no file that could be read; check the prefix.')
        return sorted(self.files, key=lambda file: os.fsencode(file.name))

    def _next(self, name: str) -> Path:
        self._check_count()
        # A number, never the name: a name of a stranger is no path here.
        return self.folder / f'{len(self.files):06d}{"".join(Path(name).suffixes[-2:])[:32]}'

    def _check_count(self) -> None:
        self.limits.check('filesMax', len(self.files) + 1, 'Files of the source')

    def _count(self, size: int, name: str) -> None:
        self.total_bytes += size
        self.limits.check('sourceBytesMax', self.total_bytes, f'Bytes of the source up to {name}')
        self.on_bytes(self.total_bytes)

    def _add(self, name: str, path: Path) -> StagedFile:
        staged = StagedFile(name, path)
        self.files.append(staged)
        return staged
