"""The colour photographs that scikit-image, scikit-learn and matplotlib carry inside their wheels (nothing is fetched)."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTOGRAPHS: dict[str, tuple[str, str, str]] = {
    'astronaut': ('skimage.data', 'astronaut.png', 'train'),
    'chelsea': ('skimage.data', 'chelsea.png', 'train'),
    'motorcycle': ('skimage.data', 'motorcycle_left.png', 'train'),
    'retina': ('skimage.data', 'retina.jpg', 'train'),
    'hubble': ('skimage.data', 'hubble_deep_field.jpg', 'train'),
    'china': ('sklearn.datasets.images', 'china.jpg', 'train'),
    'microscope': ('skimage.data', 'ihc.png', 'validation'),
    'hopper': ('matplotlib', 'mpl-data/sample_data/grace_hopper.jpg', 'validation'),
    'coffee': ('skimage.data', 'coffee.png', 'heldout'),
    'rocket': ('skimage.data', 'rocket.jpg', 'heldout'),
    'flower': ('sklearn.datasets.images', 'flower.jpg', 'heldout'),
}
"""Name -> package, file, split. A photograph belongs to one split for ever."""


def read_photograph(name: str) -> NDArray[np.uint8]:
    """The photograph [height, width, 3] as its package ships it."""
    package, file, _ = PHOTOGRAPHS[name]
    with files(package).joinpath(file).open('rb') as stream:
        return np.asarray(Image.open(stream).convert('RGB'))
