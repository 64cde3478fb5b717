"""A dataset version in memory: three splits with their digest, from a generator's files or a user's
pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millrace_training.errors import RecipeError

from .images import CLASSES, ImageSet
from .manifest import MANIFEST, read_manifest
from .shards import read_shard
from .uploads import read_upload

TRAIN_SHARE = 0.8
"""Of the `samples` that a training asks for; the rest is validation."""

MAX_HELDOUT = 2_000
"""Held-out images that are measured at most; more would only narrow the interval."""


@dataclass(frozen=True)
class Dataset:
    """Train, validation and held-out images; `digest` names the content."""

    train: ImageSet
    validation: ImageSet
    heldout: ImageSet
    digest: str
    generator: dict[str, object] | None


def _spread(images: ImageSet, count: int) -> ImageSet:
    """At most `count` images, as many of each class as there are, spread evenly over the split."""
    if len(images) <= count:
        return images
    chosen: list[NDArray[np.int64]] = []
    for label in range(len(CLASSES)):
        of_class = np.flatnonzero(images.labels == label)
        wanted = min(len(of_class), (count + label) // len(CLASSES))
        if wanted:
            chosen.append(of_class[np.linspace(0, len(of_class) - 1, wanted).round().astype(np.int64)])
    return images.take(np.sort(np.concatenate(chosen)))


def _check(split: str, images: ImageSet) -> None:
    for label, name in enumerate(CLASSES):
        if not np.any(images.labels == label):
            raise RecipeError(
                'dataset_unusable',
                f'The {split} split has no image of the class {name}; both are needed to train and measure.',
            )


def load_dataset(folder: Path, samples: int) -> Dataset:
    """Read the dataset version in `folder`, at most `samples` train and validation images of it.

    Raises `dataset_unusable` when it is empty, damaged, or lacks a class.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        raise RecipeError('dataset_unusable', 'The dataset is empty; generate or upload one first.')
    generator: dict[str, object] | None = None
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        splits = {name: read_shard(folder / f'{name}.npz') for name in ('train', 'validation', 'heldout')}
        digest, generator = str(manifest['contentDigest']), manifest['generator']
        _check_groups(splits)
    else:
        splits, digest = read_upload(folder)
    train_count = round(samples * TRAIN_SHARE)
    splits['train'] = _spread(splits['train'], train_count)
    splits['validation'] = _spread(splits['validation'], samples - train_count)
    splits['heldout'] = _spread(splits['heldout'], MAX_HELDOUT)
    for name, images in splits.items():
        _check(name, images)
    return Dataset(splits['train'], splits['validation'], splits['heldout'], digest, generator)


def _check_groups(splits: dict[str, ImageSet]) -> None:
    """A scene in two splits would make the held-out figure a lie."""
    seen: dict[str, str] = {}
    for split, images in splits.items():
        for group in set(images.groups.tolist()):
            if group in seen:
                raise RecipeError(
                    'dataset_unusable',
                    f'{group} is in the splits {seen[group]} and {split}; keep each in one.',
                )
            seen[group] = split
