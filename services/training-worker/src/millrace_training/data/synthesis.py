"""Pairs of pictures, one real and one ai, of the same content: what a generated dataset is made of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import photograph, tone_curve
from .filters import FloatImage
from .generator import FAMILIES, MARGIN, match, synthesise
from .images import IMAGE_SIZE, ImageSet
from .jpeg import QUALITY_RANGE, encode, encode_to_size, to_pixels
from .photographs import PHOTOGRAPHS, read_photograph
from .scenes import draw_scene

SPLITS = ('train', 'validation', 'heldout')

VIEWS_PER_SCENE = 5
"""Views (pairs) cut from one scene at most."""

PHOTOGRAPH_SHARE = 0.2
"""Share of each split's views that shows photographs; the rest shows procedural scenes."""

_VIEW_SIZE = IMAGE_SIZE + 2 * MARGIN
_DOMAIN = 0x4D52
"""Keeps these random streams apart from any other use of the same seed."""


@dataclass(frozen=True)
class Group:
    """All views of one scene or photograph in one split."""

    split: str
    name: str
    source: str
    index: int
    views: int


def plan_groups(views: dict[str, int]) -> list[Group]:
    """Which scenes and photographs give how many views, for `views` of each split; the order is fixed.

    Scenes count from 0 in each split and their streams differ by split, so the held-out pictures of a seed do
    not depend on how many there are to train.
    """
    groups: list[Group] = []
    for split in SPLITS:
        names = [name for name, (_, _, home) in PHOTOGRAPHS.items() if home == split]
        total = views[split]
        of_photographs = round(total * PHOTOGRAPH_SHARE)
        for position, name in enumerate(names):
            share = of_photographs // len(names) + (1 if position < of_photographs % len(names) else 0)
            if share:
                groups.append(Group(split, name, 'photograph', list(PHOTOGRAPHS).index(name), share))
        left = total - of_photographs
        for scene in range(-(-left // VIEWS_PER_SCENE)):
            shown = min(VIEWS_PER_SCENE, left - scene * VIEWS_PER_SCENE)
            groups.append(Group(split, f'{split}-{scene:05d}', 'scene', scene, shown))
    return groups


def _pair(
    real: FloatImage, display: FloatImage, rng: np.random.Generator, family: int
) -> tuple[bytes, bytes]:
    """The two files of a view: `real` [224, 224, 3] and the generated picture of the same content."""
    quality = int(rng.integers(QUALITY_RANGE[0], QUALITY_RANGE[1] + 1))
    halved = bool(rng.integers(0, 2))
    real_file = encode(to_pixels(real), quality, halved)
    picture = match(synthesise(display, rng, family, IMAGE_SIZE), real)
    return real_file, encode_to_size(picture, len(real_file), quality, halved)


def _cut(picture: FloatImage, rng: np.random.Generator) -> FloatImage:
    """A random window [240, 240, 3], mirrored half of the time."""
    height, width = int(picture.shape[0]), int(picture.shape[1])
    top = int(rng.integers(0, height - _VIEW_SIZE + 1))
    left = int(rng.integers(0, width - _VIEW_SIZE + 1))
    window = picture[top : top + _VIEW_SIZE, left : left + _VIEW_SIZE]
    return np.ascontiguousarray(window[:, ::-1] if rng.integers(0, 2) else window)


def _inner(picture: FloatImage) -> FloatImage:
    return picture[MARGIN:-MARGIN, MARGIN:-MARGIN]


def _make_views(group: Group, seed: int) -> list[tuple[bytes, bytes, int]]:
    """The group's views as (real file, ai file, trace family); depends on nothing but the arguments."""
    kind = 0 if group.source == 'scene' else 1
    rng = np.random.Generator(np.random.PCG64([_DOMAIN, seed, SPLITS.index(group.split), kind, group.index]))
    views: list[tuple[bytes, bytes, int]] = []
    if group.source == 'scene':
        scene = draw_scene(rng, group.index)
        for _ in range(group.views):
            light = _cut(scene, rng)
            contrast = float(rng.uniform(0.0, 0.5))
            family = int(rng.integers(0, len(FAMILIES)))
            real = _inner(photograph(light, rng, contrast))
            views.append((*_pair(real, tone_curve(light, contrast), rng, family), family))
    else:
        picture = read_photograph(group.name).astype(np.float32) / np.float32(255)
        for _ in range(group.views):
            display = _cut(picture, rng)
            family = int(rng.integers(0, len(FAMILIES)))
            views.append((*_pair(_inner(display), display, rng, family), family))
    return views


def synthesise_split(
    groups: list[Group], seed: int, workers: int, on_group: Callable[[Group], None]
) -> ImageSet:
    """Make all views of `groups` (one split) with `workers` threads; the result does not depend on their
    number.
    """
    cv2.setNumThreads(1)
    files: list[bytes] = []
    labels: list[int] = []
    names: list[str] = []
    sources: list[str] = []
    traces: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        made = pool.map(_make_views, groups, [seed] * len(groups))
        for group, views in zip(groups, made, strict=True):
            for real, generated, family in views:
                files += [real, generated]
                labels += [0, 1]
                names += [group.name] * 2
                sources += [group.source] * 2
                traces += ['', FAMILIES[family]]
            on_group(group)
    text: Callable[[list[str]], NDArray[np.str_]] = np.array
    return ImageSet(files, np.array(labels, np.uint8), text(names), text(sources), text(traces))
