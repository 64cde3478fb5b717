"""A dataset version of VEID: pictures of one size with a label, a group and a kind each, in three splits.

On disk a split is one .npz file without pickle, beside `manifest.json` and `schema.json`, or a user's own
folder of pictures (folders.py). No group (identity, device, document) is ever in two splits.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from millrace_training.data.manifest import MANIFEST, SCHEMA, read_manifest, write_manifest
from millrace_training.digests import canonical_json, sha256_file, sha256_json
from millrace_training.errors import RecipeError

if TYPE_CHECKING:
    from millrace_training.events import Reporter

SPLITS = ('train', 'validation', 'heldout')
_COLUMNS = ('images', 'labels', 'groups', 'kinds', 'texts')
_TEXT_CHARS = 64
"""Longest group, kind and text; longer ones are cut."""
_WORKERS_MAX = 8
"""Threads that draw samples."""


@dataclass(frozen=True)
class Split:
    """Pictures [n, height, width, channels] uint8 and, for each, label, group, kind and (documents) text."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    kinds: NDArray[np.str_]
    texts: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Any) -> Split:
        """The pictures at `indices`, in that order."""
        return Split(*(getattr(self, name)[indices] for name in _COLUMNS))


@dataclass(frozen=True)
class Sample:
    """One picture on its way into a split."""

    image: NDArray[np.uint8]
    label: int
    group: str
    kind: str
    text: str = ''


@dataclass(frozen=True)
class VeidDataset:
    """Three splits in memory; `digest` names the content."""

    train: Split
    validation: Split
    heldout: Split
    digest: str
    generator: dict[str, Any] | None


def source_digest(*modules: str) -> str:
    """SHA-256 over the source of modules of this package: names the state of a generator's code."""
    folder = Path(__file__).parent
    return sha256_json({name: sha256_file(folder / f'{name}.py') for name in modules})


def gather(samples: Sequence[Sample]) -> Split:
    """The samples as one split."""
    return Split(
        np.stack([sample.image for sample in samples]),
        np.array([sample.label for sample in samples], np.int64),
        np.array([sample.group[-_TEXT_CHARS:] for sample in samples]),
        np.array([sample.kind for sample in samples]),
        np.array([sample.text for sample in samples]),
    )


def draw(count: int, sample: Callable[[int], Sample], tick: Callable[[], None], workers: int) -> Split:
    """`count` samples by number, drawn by `workers` threads; each must depend on its number alone."""
    with ThreadPoolExecutor(workers) as pool:
        found: list[Sample] = []
        for one in pool.map(sample, range(count)):
            found.append(one)
            tick()
    return gather(found)


def write_dataset(
    folder: Path, splits: dict[str, Split], generator: dict[str, Any], schema: dict[str, Any], version: str
) -> dict[str, Any]:
    """Write the splits into `folder` and return the manifest; equal content gives equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        columns = {column: getattr(split, column) for column in _COLUMNS}
        np.savez(folder / f'{name}.npz', **columns)
    (folder / SCHEMA).write_bytes(canonical_json({'format': version, **schema}) + b'\n')
    counts = {name: {'images': len(split), **_counted(split)} for name, split in splits.items()}
    return write_manifest(folder, generator, counts, version)


@dataclass(frozen=True)
class Generator:
    """What a dataset version is named by: generator, its parameters and the digest of its code."""

    name: str
    version: str
    params: dict[str, Any]
    sources: tuple[str, ...]
    """Modules of this package that a sample follows from."""
    schema: dict[str, Any]
    format: str


def generate(
    out_dir: Path,
    counts: dict[str, int],
    sampler: Callable[[str], Callable[[int], Sample]],
    generator: Generator,
    report: Reporter,
    workers: int | None = None,
) -> dict[str, Any]:
    """Draw `counts` samples for each split with `sampler(split)`, write them as a version into `out_dir` and
    return its manifest. Without `workers` as many threads draw as there are cores, at most eight.
    """
    report.total_steps = sum(counts.values())

    def tick() -> None:
        report.check_stop()
        report.step += 1
        report.progress('generate', {})

    threads = workers or min(len(os.sched_getaffinity(0)), _WORKERS_MAX)
    splits = {split: draw(count, sampler(split), tick, threads) for split, count in counts.items()}
    origin = {
        'name': generator.name,
        'version': generator.version,
        'params': generator.params,
        'sourceSha256': source_digest(*generator.sources),
    }
    manifest = write_dataset(out_dir, splits, origin, generator.schema, generator.format)
    report.progress('generate', {}, force=True)
    return manifest


def _counted(split: Split) -> dict[str, Any]:
    kinds, numbers = np.unique(split.kinds, return_counts=True)
    return {
        'groups': len(np.unique(split.groups)),
        'kinds': {str(kind): int(number) for kind, number in zip(kinds, numbers, strict=True)},
    }


def _read_split(path: Path, shape: tuple[int, ...]) -> Split:
    try:
        with np.load(path, allow_pickle=False) as archive:
            split = Split(*(archive[name] for name in _COLUMNS))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _unusable(f'{path.name} is not a split of this format ({error})') from error
    count = len(split.labels)
    if split.images.dtype != np.uint8 or split.images.shape != (count, *shape) or count == 0:
        raise _unusable(f'{path.name} holds pictures {split.images.shape}, not (n > 0, {shape})')
    if any(getattr(split, name).shape != (count,) for name in _COLUMNS[1:]):
        raise _unusable(f'{path.name} has columns of different lengths')
    return split


def _unusable(why: str) -> RecipeError:
    return RecipeError('dataset_unusable', f'{why}; generate or upload the dataset again.')


def read_dataset(
    folder: Path,
    version: str,
    shape: tuple[int, ...],
    own: Callable[[Path], tuple[dict[str, Split], str]],
) -> VeidDataset:
    """The dataset version in `folder`; `own` reads a user's pictures where there is no manifest.

    Raises `dataset_unusable` when it is empty, damaged, of another recipe, or has a group in two splits.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        raise RecipeError('dataset_unusable', 'The dataset is empty; generate or upload one first.')
    generator: dict[str, Any] | None = None
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder, version)
        splits = {name: _read_split(folder / f'{name}.npz', shape) for name in SPLITS}
        digest, generator = str(manifest['contentDigest']), manifest['generator']
    else:
        splits, digest = own(folder)
    seen: dict[str, str] = {}
    for name, split in splits.items():
        for group in np.unique(split.groups).tolist():
            if seen.setdefault(group, name) != name:
                raise _unusable(f'{group} is in the splits {seen[group]} and {name}')
    return VeidDataset(splits['train'], splits['validation'], splits['heldout'], digest, generator)
