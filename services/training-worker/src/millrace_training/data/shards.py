"""A split on disk: one .npz file that holds encoded images and plain arrays, and never a pickle."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from millrace_training.errors import RecipeError

from .images import CLASSES, ImageSet

_COLUMNS = ('encoded', 'offsets', 'labels', 'groups', 'sources', 'traces')


def write_shard(path: Path, images: ImageSet) -> None:
    """Write `images` so that equal images give equal bytes (numpy fixes the zip's time stamps)."""
    sizes = np.array([len(data) for data in images.encoded], np.int64)
    np.savez(
        path,
        encoded=np.frombuffer(b''.join(images.encoded), np.uint8),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        labels=images.labels.astype(np.uint8),
        groups=images.groups.astype('<U64'),
        sources=images.sources.astype('<U16'),
        traces=images.traces.astype('<U16'),
    )


def _refuse(path: Path, why: str) -> RecipeError:
    return RecipeError('dataset_unusable', f'{path.name} {why}; generate or upload the dataset again.')


def read_shard(path: Path) -> ImageSet:
    """Read and check a file of `write_shard`; raises `dataset_unusable` with the reason."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {name: archive[name] for name in _COLUMNS}
    except FileNotFoundError as error:
        raise _refuse(path, 'is missing') from error
    except KeyError as error:
        raise _refuse(path, f'lacks the column {error.args[0]}') from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _refuse(path, f'is corrupted ({error})') from error
    encoded, offsets, labels = columns['encoded'], columns['offsets'], columns['labels']
    if encoded.dtype != np.uint8 or encoded.ndim != 1 or offsets.dtype != np.int64 or offsets.ndim != 1:
        raise _refuse(path, 'has image bytes of the wrong type or shape')
    count = len(offsets) - 1
    if count < 1:
        raise _refuse(path, 'is empty')
    if offsets[0] != 0 or offsets[-1] != len(encoded) or np.any(np.diff(offsets) <= 0):
        raise _refuse(path, 'has image offsets that do not fit its bytes')
    if any(columns[name].shape != (count,) for name in _COLUMNS[2:]):
        raise _refuse(path, f'has columns that are not of the shape ({count},)')
    if labels.dtype != np.uint8 or np.any(labels >= len(CLASSES)):
        raise _refuse(path, f'has labels outside 0..{len(CLASSES) - 1}')
    data = encoded.tobytes()
    files = [data[int(start) : int(end)] for start, end in pairwise(offsets)]
    return ImageSet(files, labels, columns['groups'], columns['sources'], columns['traces'])
