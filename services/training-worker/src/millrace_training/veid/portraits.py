# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# OpenCV and NumPy ship no complete types.
"""The face dataset: several views of each identity in grey, and the pairs to measure verification on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .cameras import camera, shoot
from .dataset import SPLITS, Sample, Split
from .faces import View, draw_identity, draw_view, render
from .folders import Found, pictures, split_by_group, unusable

FORMAT = 'millrace-veid-face-v1'
SIZE = 64
SHAPE = (SIZE, SIZE, 1)
CHUNK = 4
"""Views of an identity that stand together in a training batch, so that it holds genuine pairs."""

SPREAD = 1.35
"""Of the traits; at 64 pixels many differences of real faces would be less than one pixel."""

CUT_SHIFT, CUT_SCALE, CUT_ROLL = 0.12, 0.12, 0.14
"""How far a portrait is cut off the middle (half heads), too large or small (share), turned (radians)."""

SCHEMA = {
    'task': 'verification',
    'classes': ['other', 'same'],
    'features': [{'name': 'input', 'dtype': 'uint8', 'shape': [2, *SHAPE]}],
    'label': {'name': 'label', 'dtype': 'int64', 'meaning': 'number of the identity within its split'},
    'columns': {'groups': 'identity', 'kinds': 'portrait', 'texts': 'empty'},
}

_STREAM = 0x66616365
_PAIRS, _ORDER = 0x70616972, 0x6F72646572
_CAMERAS = {'train': range(100, 124), 'validation': range(124, 130), 'heldout': range(130, 142)}


def sampler(split: str, seed: int, views: int) -> Callable[[int], Sample]:
    """Draws picture `number` of a split: view `number % views` of identity `number // views`."""

    def draw(number: int) -> Sample:
        who = number // views
        place = [_STREAM, SPLITS.index(split), seed, who]
        identity = draw_identity(np.random.Generator(np.random.PCG64(place)), SPREAD)
        rng = np.random.Generator(np.random.PCG64([*place, 1 + number % views]))
        background = rng.uniform(0.08, 0.6, 3).astype(np.float32)
        linear, _ = render(identity, _cut(draw_view(rng), rng), SIZE, background)
        device = camera(int(rng.choice(_CAMERAS[split])))
        picture = cv2.cvtColor(shoot(linear, device, SIZE, rng), cv2.COLOR_RGB2GRAY)
        return Sample(picture.reshape(SHAPE).astype(np.uint8), who, f'{split}-{who:05d}', 'portrait')

    return draw


def _cut(view: View, rng: np.random.Generator) -> View:
    """`view` as somebody cut it out: neither a hand nor a detector is exact, no pixel lies on its like."""
    x, y, scale, roll = rng.uniform(-1, 1, 4)
    return replace(
        view,
        shift=(float(CUT_SHIFT * x), float(CUT_SHIFT * y)),
        scale=float(1 + CUT_SCALE * scale),
        roll=float(CUT_ROLL * roll),
    )


def read_folder(folder: Path) -> tuple[dict[str, Split], str]:
    """A user's pictures, `IDENTITY/…`, cut to faces by the user; identities are held out whole.

    Raises `dataset_unusable`.
    """
    places = [(path, folders[0]) for path, folders in pictures(folder) if folders]
    names = sorted({name for _, name in places})
    found = [Found(path, names.index(name), name, 'portrait') for path, name in places]
    for name in names:
        if sum(one.group == name for one in found) < 2:
            raise unusable(f'The folder {name}/ holds one picture; an identity needs two or more.')
    return split_by_group(found, SHAPE, lambda _: 'The folder of identities')


def chunked_order(seed: int, epoch: int, labels: NDArray[Any]) -> NDArray[np.int64]:
    """An order of all pictures in which CHUNK views of an identity follow each other, by seed and epoch."""
    rng = np.random.Generator(np.random.PCG64([_ORDER, seed, epoch]))
    shuffled = rng.permutation(len(labels))
    grouped = shuffled[np.argsort(labels[shuffled], kind='stable')]
    ends = np.flatnonzero(np.diff(labels[grouped])) + 1
    chunks: list[NDArray[np.int64]] = []
    for views in np.split(grouped, ends):
        chunks.extend(views[start : start + CHUNK] for start in range(0, len(views), CHUNK))
    # Full chunks first to last, so that what an epoch leaves over are those with fewest pairs.
    order = [chunks[index] for index in rng.permutation(len(chunks))]
    return np.concatenate(sorted(order, key=len, reverse=True))


def pairs(split: Split, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices [n, 2] of `count` pairs of different pictures, half genuine, and their labels [n] (1: same)."""
    rng = np.random.Generator(np.random.PCG64([_PAIRS, seed]))
    labels = split.labels
    by_identity = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    many = [views for views in by_identity if len(views) > 1]
    if not many or len(by_identity) < 2:
        raise unusable('A split needs two identities, one of them with two pictures, to be measured.')
    found: list[NDArray[np.int64]] = []
    for number in range(count):
        if number % 2 == 0:
            found.append(rng.choice(many[int(rng.integers(len(many)))], 2, replace=False))
        else:
            first, second = rng.choice(len(by_identity), 2, replace=False)
            found.append(np.array([rng.choice(by_identity[first]), rng.choice(by_identity[second])]))
    return np.stack(found), (1 - np.arange(count) % 2).astype(np.int64)


def pair_baselines(
    train: Split, heldout: NDArray[np.uint8], truth: NDArray[Any], seed: int
) -> dict[str, float]:
    """Held-out accuracy of trivial methods on pairs [n, 2, h, w, c], fitted to pairs of `train`."""
    from .baselines import MAX_ROWS, best_threshold, centre, chance, logistic, shrunk

    indices, labels = pairs(train, MAX_ROWS, seed)
    found = {'chance': chance(truth)}
    for name, features in (('Pixels', shrunk), ('CentrePixels', centre)):
        rows = [features(train.images[indices[:, side]]) for side in (0, 1)]
        held = [features(heldout[:, side]) for side in (0, 1)]
        # Brightness and contrast of each picture taken out first: the fairest form of comparing pixels.
        rows, held = ([_normalised(part) for part in parts] for parts in (rows, held))
        near, near_held = (-((a - b) ** 2).mean(axis=1) for a, b in (rows, held))
        found[f'nearest{name}'] = best_threshold(near, labels, near_held, truth)
        gaps, gaps_held = (np.abs(a - b) for a, b in (rows, held))
        found[f'logisticRegression{name}'] = logistic(gaps, labels, gaps_held, truth)
    return found


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    mean, deviation = rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    return (rows - mean) / (deviation + np.float32(1e-3))
