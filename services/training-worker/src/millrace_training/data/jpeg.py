"""JPEG, the last step of both classes, and the search that gives both the same file size."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .filters import FloatImage

QUALITY_RANGE = (82, 94)
"""JPEG qualities, both ends included; the two pictures of a pair share theirs."""

_SIZE_SEARCH_STEPS = 4
"""Halvings of the gain's interval: the sizes of a pair end within a few per cent of each other."""

_GAIN_RANGE = (0.5, 2.0)


def to_pixels(picture: FloatImage) -> NDArray[np.uint8]:
    """Display values 0..1 as 8 bit pixels, rounded."""
    return (np.clip(picture, 0.0, 1.0) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def encode(pixels: NDArray[np.uint8], quality: int, chroma_halved: bool) -> bytes:
    """A baseline JPEG file; `chroma_halved` is 4:2:0, else 4:4:4."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=quality, subsampling=2 if chroma_halved else 0)
    return buffer.getvalue()


def encode_to_size(
    make: Callable[[float], FloatImage], wanted_bytes: int, quality: int, chroma_halved: bool
) -> bytes:
    """The file of `make(gain)` whose size is nearest to `wanted_bytes`; size must grow with the gain."""
    low, high = _GAIN_RANGE
    best = b''
    for _ in range(_SIZE_SEARCH_STEPS):
        gain = float(np.sqrt(low * high))
        data = encode(to_pixels(make(gain)), quality, chroma_halved)
        if not best or abs(len(data) - wanted_bytes) < abs(len(best) - wanted_bytes):
            best = data
        if len(data) > wanted_bytes:
            high = gain
        else:
            low = gain
    return best
