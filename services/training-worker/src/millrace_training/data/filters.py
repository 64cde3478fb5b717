"""OpenCV's filters on float32 pictures, with types."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
"""[height, width, 3], float32."""


def blur(picture: FloatImage, sigma: float) -> FloatImage:
    """A Gaussian blur with standard deviation `sigma` in pixels."""
    return cast('FloatImage', cv2.GaussianBlur(picture, (0, 0), sigma))


def halve(picture: FloatImage) -> FloatImage:
    """Half the height and width, each pixel the mean of four."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return cast('FloatImage', cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def moments(picture: FloatImage) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel."""
    mean, deviation = cv2.meanStdDev(picture)
    return mean[:, 0].astype(np.float64), deviation[:, 0].astype(np.float64)
