"""A camera: what turns light into the pixels of a class "real" picture.

Lens blur, Bayer mosaic, photon and read noise, white balance error, demosaicing, tone curve. JPEG comes last
and is shared with the other class (see `jpeg.py`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .filters import FloatImage, blur

_BAYER_LEVELS = 4095
"""The sensor's analogue-digital converter has 12 bits."""


def tone_curve(linear: FloatImage, contrast: float) -> FloatImage:
    """Linear light to display values 0..1: the sRGB transfer function, then an S-curve of strength
    `contrast`.
    """
    clipped = np.clip(linear, 0.0, 1.0)
    display = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * np.power(clipped, 1 / 2.4) - 0.055)
    smooth = display * display * (3 - 2 * display)
    return (display + np.float32(contrast) * (smooth - display)).astype(np.float32)


def _bayer(linear: FloatImage, row: int, column: int) -> NDArray[np.float32]:
    """The sensor's mosaic [height, width]: one colour a pixel, red at (row, column) of each 2 x 2 block."""
    mosaic = np.empty(linear.shape[:2], np.float32)
    other_row, other_column = 1 - row, 1 - column
    mosaic[row::2, column::2] = linear[row::2, column::2, 0]
    mosaic[row::2, other_column::2] = linear[row::2, other_column::2, 1]
    mosaic[other_row::2, column::2] = linear[other_row::2, column::2, 1]
    mosaic[other_row::2, other_column::2] = linear[other_row::2, other_column::2, 2]
    return mosaic


_DEMOSAIC = {
    # OpenCV names a pattern by the second row's second and third pixel; the result is RGB.
    (0, 0): (cv2.COLOR_BayerBG2RGB, cv2.COLOR_BayerBG2RGB_EA),
    (0, 1): (cv2.COLOR_BayerGB2RGB, cv2.COLOR_BayerGB2RGB_EA),
    (1, 0): (cv2.COLOR_BayerGR2RGB, cv2.COLOR_BayerGR2RGB_EA),
    (1, 1): (cv2.COLOR_BayerRG2RGB, cv2.COLOR_BayerRG2RGB_EA),
}


def photograph(linear: FloatImage, rng: np.random.Generator, contrast: float) -> FloatImage:
    """The display picture (0..1, same shape) that a camera makes of `linear` (height and width even)."""
    light = blur(linear, float(rng.uniform(0.3, 0.6)))
    row, column = int(rng.integers(0, 2)), int(rng.integers(0, 2))
    mosaic = _bayer(light, row, column)
    full_well = rng.uniform(500, 2_500)
    read_noise = rng.uniform(0.001, 0.006)
    deviation = np.sqrt(np.clip(mosaic, 0, None) / np.float32(full_well) + np.float32(read_noise**2))
    mosaic = mosaic + deviation * rng.standard_normal(mosaic.shape, dtype=np.float32)
    # A pedestal keeps the negative half of the noise, as in raw files.
    counts = np.clip(np.round((mosaic * 0.9 + 0.05) * _BAYER_LEVELS), 0, _BAYER_LEVELS).astype(np.uint16)
    way = _DEMOSAIC[(row, column)][int(rng.integers(0, 2))]
    demosaiced = cv2.cvtColor(counts, way).astype(np.float32) / np.float32(_BAYER_LEVELS)
    return tone_curve((demosaiced - np.float32(0.05)) / np.float32(0.9), contrast)
