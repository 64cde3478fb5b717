"""The liveness dataset: one numbered picture after another, living or attacked, by devices of its split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .attacks import ATTACKS, SCALE, Scene, attack, live
from .cameras import camera, shoot
from .dataset import SPLITS, Sample, Split
from .faces import draw_identity, draw_view
from .folders import Found, pictures, split_by_group, unusable

FORMAT = 'millrace-veid-liveness-v1'
SIZE = 64
SHAPE = (SIZE, SIZE, 3)
KINDS = ('live', *ATTACKS)

CAMERAS = {'train': range(0, 16), 'validation': range(16, 20), 'heldout': range(20, 28)}
"""Numbers of the cameras of each split; those of one split are in no other."""

INSTRUMENTS = {'train': range(0, 24), 'validation': range(24, 30), 'heldout': range(30, 42)}
"""Numbers of the printers, of the screens and of the masks of each split."""

SCHEMA = {
    'task': 'binary-classification',
    'classes': ['attack', 'live'],
    'features': [{'name': 'input', 'dtype': 'uint8', 'shape': list(SHAPE)}],
    'label': {'name': 'label', 'dtype': 'int64', 'values': [0, 1]},
    'columns': {'groups': 'camera and instrument', 'kinds': 'live, print, screen or mask', 'texts': 'empty'},
}

_STREAM = 0x6C697665


def sampler(split: str, seed: int) -> Callable[[int], Sample]:
    """Draws picture `number` of a split: every other one lives, the rest are attacks in turn."""

    def draw(number: int) -> Sample:
        rng = np.random.Generator(np.random.PCG64([_STREAM, SPLITS.index(split), seed, number]))
        background = rng.uniform(0.08, 0.6, 3).astype(np.float32)
        scene = Scene(draw_identity(rng), draw_view(rng), background, SIZE)
        device = int(rng.choice(CAMERAS[split]))
        if number % 2 == 0:
            kind, group, linear = 'live', f'camera-{device}', live(scene)
        else:
            kind = ATTACKS[number // 2 % len(ATTACKS)]
            instrument = int(rng.choice(INSTRUMENTS[split]))
            group = f'camera-{device} {kind}-{instrument}'
            linear = attack(kind, instrument, scene, rng)
        assert linear.shape == (SIZE * SCALE, SIZE * SCALE, 3)
        return Sample(shoot(linear, camera(device), SIZE, rng), int(kind == 'live'), group, kind)

    return draw


def read_folder(folder: Path) -> tuple[dict[str, Split], str]:
    """A user's pictures, `live/DEVICE/…`, `print/DEVICE/…`, `screen/DEVICE/…`, `mask/DEVICE/…`.

    Devices are held out whole. Raises `dataset_unusable`.
    """
    found: list[Found] = []
    for path, folders in pictures(folder):
        if len(folders) >= 2 and folders[0] in KINDS:
            group = '/'.join(folders[:2])
            found.append(Found(path, int(folders[0] == 'live'), group, folders[0]))
    if not any(one.label for one in found) or all(one.label for one in found):
        raise unusable('The folder needs pictures in live/DEVICE/ and in print/, screen/ or mask/DEVICE/.')
    return split_by_group(found, SHAPE, lambda one: one.kind)
