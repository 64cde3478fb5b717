"""A user's own pictures as a dataset: folders by class and group, cut into splits by group."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from millrace_training.digests import sha256_file, sha256_json
from millrace_training.errors import RecipeError

from .dataset import SPLITS, Sample, Split, gather

MAX_IMAGES = 50_000
"""More than this is refused: the splits are held in memory."""

MAX_IMAGE_PIXELS = 40_000_000
"""A larger picture is refused, so that a small file cannot claim all memory."""

MIN_GROUPS = 5
"""With fewer groups no split could be held out."""

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp'}


@dataclass(frozen=True)
class Found:
    """One file of a user's folder with what its place says about it."""

    path: Path
    label: int
    group: str
    kind: str
    text: str = ''


def unusable(why: str) -> RecipeError:
    """`dataset_unusable` with the reason."""
    return RecipeError('dataset_unusable', why)


def read_picture(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture [height, width, channels] uint8: cut to the shape's proportions, then scaled.

    Raises `dataset_unusable` for a file that is no picture or too large.
    """
    height, width, channels = shape
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise unusable(f'{path.name} has more than {MAX_IMAGE_PIXELS} pixels; make it smaller.')
            picture = np.asarray(image.convert('RGB' if channels == 3 else 'L'))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unusable(f'{path.name} is not a readable image ({error}); replace or remove it.') from error
    rows, columns = picture.shape[:2]
    cut = (min(rows, round(columns * height / width)), min(columns, round(rows * width / height)))
    top, left = (rows - cut[0]) // 2, (columns - cut[1]) // 2
    picture = picture[top : top + max(1, cut[0]), left : left + max(1, cut[1])]
    method = cv2.INTER_AREA if cut[0] > height else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method).reshape(shape).astype(np.uint8)


def pictures(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The picture files under `folder`, sorted, with the names of the folders that hold them."""
    for path in sorted(folder.rglob('*')):
        relative = path.relative_to(folder)
        hidden = any(part.startswith('.') or part == '__MACOSX' for part in relative.parts)
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.is_symlink() and not hidden:
            yield path, relative.parts[:-1]


def text_table(folder: Path, name: str) -> dict[str, tuple[str, str]]:
    """Text and group by file of the CSV file `name`: columns `file`, `text` and, if there is one, `group`."""
    try:
        with (folder / name).open(encoding='utf-8', newline='') as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unusable(f'{name} is missing or unreadable ({error}); add it with file,text lines.') from error
    if not rows or not {'file', 'text'} <= rows[0].keys():
        raise unusable(f'{name} needs the columns file and text.')
    return {row['file']: (row['text'] or '', row.get('group') or row['file']) for row in rows}


def split_by_group(
    found: list[Found], shape: tuple[int, int, int], strata: Callable[[Found], str]
) -> tuple[dict[str, Split], str]:
    """The splits and their content digest; the groups of each stratum are cut 70 / 10 / 20 by their names'
    digest, so that the split depends on the names alone. Raises `dataset_unusable`.
    """
    if len(found) > MAX_IMAGES:
        raise unusable(f'The folder holds more than {MAX_IMAGES} pictures; make it smaller.')
    by_stratum: dict[str, set[str]] = {}
    for one in found:
        by_stratum.setdefault(strata(one), set()).add(one.group)
    if not by_stratum:
        raise unusable('The folder holds no picture where this recipe looks for one; see its docs page.')
    split_of: dict[str, str] = {}
    for stratum, groups in sorted(by_stratum.items()):
        if len(groups) < MIN_GROUPS:
            raise unusable(
                f'{stratum} has {len(groups)} groups; it needs {MIN_GROUPS} so that some are held out.'
            )
        ordered = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        # At least one group in each split, whatever rounding does.
        held, checked = max(1, round(0.2 * len(ordered))), max(1, round(0.1 * len(ordered)))
        sizes = (len(ordered) - held - checked, checked, held)
        names = [name for name, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]
        split_of.update(zip(ordered, names, strict=True))
    members: dict[str, list[Sample]] = {name: [] for name in SPLITS}
    for one in found:
        sample = Sample(read_picture(one.path, shape), one.label, one.group, one.kind, one.text)
        members[split_of[one.group]].append(sample)
    digest = sha256_json(sorted([sha256_file(one.path), one.label, one.group, one.text] for one in found))
    return {name: gather(samples) for name, samples in members.items()}, digest
