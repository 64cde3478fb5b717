"""A picture being drawn in linear light: soft and hard shapes in the frame of a head, and fields of noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""A picture [height, width, 3] or a mask [height, width], float32, linear light 0..1."""


class Canvas:
    """The picture being drawn, its coordinates in the frame of the head, and what is drawn onto it."""

    def __init__(self, size: int, shift: tuple[float, float], roll: float, scale: float) -> None:
        axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2.3 / size) - np.float32(
            1.15
        )
        x, y = np.meshgrid(axis - np.float32(shift[0]), axis - np.float32(shift[1]))
        cos, sin = np.float32(np.cos(roll) / scale), np.float32(np.sin(roll) / scale)
        self.x: Pixels = (cos * x + sin * y).astype(np.float32, copy=False)
        self.y: Pixels = (cos * y - sin * x).astype(np.float32, copy=False)
        self.pixel = np.float32(2.3 / size / scale)
        self.image: Pixels = np.zeros((size, size, 3), np.float32)

    def blob(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        angle: float = 0.0,
        power: float = 2.0,
        softness: float = 0.0,
    ) -> Pixels:
        """Cover [size, size] of a superellipse with antialiased, or soft, edges."""
        dx, dy = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        if angle:
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
        width, height = max(radii[0], 1e-3), max(radii[1], 1e-3)
        u, v = np.abs(dx / np.float32(width)), np.abs(dy / np.float32(height))
        exponent = np.float32(power)
        if power == 2.0:
            distance = np.sqrt(u * u + v * v)
        else:
            distance = (u**exponent + v**exponent) ** (1 / exponent)
        if softness:
            return np.clip((1 - distance) / np.float32(softness) + np.float32(0.5), 0, 1).astype(np.float32)
        # Distance to the edge by the slope of the implicit function, so that thin shapes keep their ends.
        slope = np.sqrt((u / np.float32(width)) ** 2 + (v / np.float32(height)) ** 2) + np.float32(1e-6)
        away = (1 - distance) * np.maximum(distance, np.float32(1e-3)) / slope
        return np.clip(away / self.pixel + np.float32(0.5), 0, 1).astype(np.float32)

    def paint(self, cover: Pixels, colour: NDArray[np.float32] | float) -> None:
        """Lay `colour` over the picture where `cover` is 1."""
        self.image += cover[..., None] * (np.asarray(colour, np.float32) - self.image)

    def darken(self, cover: Pixels, amount: float) -> None:
        """Multiply by 1 - amount where `cover` is 1; a negative amount lights up."""
        self.image *= 1 - np.float32(amount) * cover[..., None]


def noise_field(seed: int, size: int, cells: int, octaves: int) -> Pixels:
    """A fractal field [size, size], mean 0 and deviation 1, from `cells` a side upwards."""
    rng = np.random.Generator(np.random.PCG64(seed))
    field = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        side = min(cells << octave, size) + 3
        grid = rng.standard_normal((side, side), dtype=np.float32)
        field += np.float32(0.6**octave) * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / (field.std() + np.float32(1e-6))
