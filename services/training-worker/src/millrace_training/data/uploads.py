"""A user's own pictures: a folder, or one zip file, with the folders `real/` and `ai/`."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from millrace_training.digests import sha256_json
from millrace_training.errors import RecipeError

from .images import CLASSES, ImageSet, decode

MIN_IMAGES_PER_CLASS = 10
"""With fewer, none would be left to measure with."""

MAX_IMAGES = 20_000
"""3 GB once decoded."""

MAX_IMAGE_BYTES = 32 << 20
"""A larger file is refused, packed or not."""

MAX_TOTAL_BYTES = 4 << 30
"""All files together, unpacked."""

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp'}
_SHARES = (('train', 0.7), ('validation', 0.8), ('heldout', 1.0))
"""Splits with the upper end of their share of each class."""


def _label(name: str) -> int | None:
    """The class of a picture by the folder that holds it, at any depth; None for every other file."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in _SUFFIXES or path.name.startswith('.') or '__MACOSX' in path.parts:
        return None
    folders = [part.lower() for part in path.parts[:-1] if part.lower() in CLASSES]
    return CLASSES.index(folders[-1]) if folders else None


def _from_folder(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    for path in sorted(folder.rglob('*')):
        name = path.relative_to(folder).as_posix()
        label = _label(name)
        if label is not None and path.is_file() and not path.is_symlink():
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise RecipeError(
                    'dataset_unusable', f'{name} is over {MAX_IMAGE_BYTES} bytes; make it smaller.'
                )
            yield name, label, path.read_bytes()


def _from_zip(path: Path) -> Iterator[tuple[str, int, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda item: item.filename):
                label = _label(entry.filename)
                if label is None or entry.is_dir():
                    continue
                if entry.file_size > MAX_IMAGE_BYTES:
                    raise RecipeError(
                        'dataset_unusable',
                        f'{entry.filename} is over {MAX_IMAGE_BYTES} bytes; make it smaller.',
                    )
                # Nothing is unpacked to disk, so a name cannot lead out of the dataset.
                yield entry.filename, label, archive.read(entry)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise RecipeError('dataset_unusable', f'{path.name} is not a readable zip file ({error}).') from error


def _source(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    archives = sorted(folder.glob('*.zip'))
    if len(archives) == 1:
        return _from_zip(archives[0])
    if archives:
        raise RecipeError(
            'dataset_unusable', 'The dataset holds several zip files; upload one with real/ and ai/.'
        )
    return _from_folder(folder)


def read_upload(folder: Path) -> tuple[dict[str, ImageSet], str]:
    """The splits of a user's dataset and its content digest; raises `dataset_unusable` with the reason.

    Pictures with the same bytes count once. Each class is ordered by digest and cut 70 / 10 / 20 into train,
    validation and heldout, so that the split depends on the pictures alone.
    """
    found: dict[str, tuple[int, str, bytes]] = {}
    total = 0
    for name, label, data in _source(folder):
        total += len(data)
        if total > MAX_TOTAL_BYTES or len(found) >= MAX_IMAGES:
            raise RecipeError(
                'dataset_unusable',
                f'The dataset is over {MAX_IMAGES} images or {MAX_TOTAL_BYTES} bytes; make it smaller.',
            )
        digest = hashlib.sha256(data).hexdigest()
        if digest in found and found[digest][0] != label:
            raise RecipeError(
                'dataset_unusable',
                f'{name} and {found[digest][1]} are the same file in both classes; remove one.',
            )
        found.setdefault(digest, (label, name, data))
    per_class = [
        sorted(key for key, item in found.items() if item[0] == label) for label in range(len(CLASSES))
    ]
    for name, digests in zip(CLASSES, per_class, strict=True):
        if len(digests) < MIN_IMAGES_PER_CLASS:
            raise RecipeError(
                'dataset_unusable',
                f'The folder {name}/ holds {len(digests)} different images; it needs {MIN_IMAGES_PER_CLASS}.',
            )
    splits: dict[str, ImageSet] = {}
    start = 0.0
    for split, end in _SHARES:
        chosen = [
            digest
            for digests in per_class
            for digest in digests[round(start * len(digests)) : round(end * len(digests))]
        ]
        start = end
        splits[split] = ImageSet(
            [found[digest][2] for digest in chosen],
            np.array([found[digest][0] for digest in chosen], np.uint8),
            np.array([found[digest][1][-64:] for digest in chosen]),
            np.array(['upload'] * len(chosen)),
            np.array([''] * len(chosen)),
        )
        for digest in chosen:
            decode(found[digest][2], found[digest][1])
    return splits, sha256_json(sorted([digest, item[0]] for digest, item in found.items()))
