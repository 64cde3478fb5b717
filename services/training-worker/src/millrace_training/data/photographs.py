"""The colour photographs that scikit-image, scikit-learn and matplotlib carry inside their wheels (nothing is
fetched).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from millrace_training.errors import RecipeError

PHOTOGRAPHS: dict[str, tuple[str, str, str]] = {
    'astronaut': ('skimage', 'data/astronaut.png', 'train'),
    'chelsea': ('skimage', 'data/chelsea.png', 'train'),
    'motorcycle': ('skimage', 'data/motorcycle_left.png', 'train'),
    'retina': ('skimage', 'data/retina.jpg', 'train'),
    'hubble': ('skimage', 'data/hubble_deep_field.jpg', 'train'),
    'china': ('sklearn', 'datasets/images/china.jpg', 'train'),
    'microscope': ('skimage', 'data/ihc.png', 'validation'),
    'hopper': ('matplotlib', 'mpl-data/sample_data/grace_hopper.jpg', 'validation'),
    'coffee': ('skimage', 'data/coffee.png', 'heldout'),
    'rocket': ('skimage', 'data/rocket.jpg', 'heldout'),
    'flower': ('sklearn', 'datasets/images/flower.jpg', 'heldout'),
}
"""Name -> package, file, split. A photograph belongs to one split for ever."""


def read_photograph(name: str) -> NDArray[np.uint8]:
    """The photograph [height, width, 3] as its package ships it."""
    package, file, _ = PHOTOGRAPHS[name]
    # Found without importing the packages, which would take seconds.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RecipeError(
            'environment_unusable', f'The package {package} is missing; make the environment again.'
        )
    with Image.open(Path(spec.origin).parent / file) as picture:
        return np.asarray(picture.convert('RGB'))
