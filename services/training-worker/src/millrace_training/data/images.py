"""The images of one split in memory, still as files."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from millrace_training.errors import RecipeError

IMAGE_SIZE = 224
"""Side in pixels of each image that a model sees."""

CLASSES = ('real', 'ai')
"""Label 0 and label 1; the model's output is the probability of label 1."""

MAX_IMAGE_PIXELS = 40_000_000
"""A larger picture of a user is refused, so that a small file cannot claim all memory."""


@dataclass(frozen=True)
class ImageSet:
    """Encoded images with, for each: label (0 or 1), group (scene or photograph), source and trace family."""

    encoded: list[bytes]
    labels: NDArray[np.uint8]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    traces: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.encoded)

    def take(self, indices: NDArray[np.int64]) -> ImageSet:
        """The images at `indices`, in that order."""
        return ImageSet(
            [self.encoded[int(index)] for index in indices],
            self.labels[indices],
            self.groups[indices],
            self.sources[indices],
            self.traces[indices],
        )

    def pixels(self) -> NDArray[np.uint8]:
        """All images decoded: [count, 224, 224, 3] uint8 RGB. Raises `dataset_unusable` for a damaged one."""
        decoded = np.empty((len(self), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        for index, data in enumerate(self.encoded):
            decoded[index] = decode(data, f'image {index} ({self.groups[index]})')
        return decoded


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """One image file as [224, 224, 3] uint8 RGB.

    A picture of another size is cut to its centre; one that is too small is enlarged first. Cutting rather
    than shrinking keeps the traces that tell the classes apart. Raises `dataset_unusable`, with `name` in the
    message.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise RecipeError(
                    'dataset_unusable', f'{name} has more than {MAX_IMAGE_PIXELS} pixels; make it smaller.'
                )
            picture = image.convert('RGB')
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RecipeError(
            'dataset_unusable', f'{name} is not a readable image ({error}); replace or remove it.'
        ) from error
    if min(picture.size) < IMAGE_SIZE:
        scale = IMAGE_SIZE / min(picture.size)
        wider = (
            max(IMAGE_SIZE, round(picture.width * scale)),
            max(IMAGE_SIZE, round(picture.height * scale)),
        )
        picture = picture.resize(wider, Image.Resampling.BICUBIC)
    left, top = (picture.width - IMAGE_SIZE) // 2, (picture.height - IMAGE_SIZE) // 2
    return np.asarray(picture.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE)))
