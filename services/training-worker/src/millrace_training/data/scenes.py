"""Procedural scenes: pictures in linear light that nobody has photographed.

A scene is drawn once at `SCENE_SIZE` and cut into several views, so that a split by scene keeps every view of
a scene on one side. All randomness comes from the generator that the caller passes in.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .filters import FloatImage, blur

SCENE_SIZE = 512
"""Side of a scene in pixels."""

_SUBPIXEL_BITS = 3
"""Polygons are drawn with 1/8 pixel precision and anti-aliased edges."""


def _noise(
    rng: np.random.Generator, size: int, coarse: int, octaves: int, gain: float
) -> NDArray[np.float32]:
    """A fractal field [size, size] with mean 0 and standard deviation 1, from `coarse` cells a side
    upwards.
    """
    field = np.zeros((size, size), np.float32)
    weight = 1.0
    cells = coarse
    for _ in range(octaves):
        grid = rng.standard_normal((min(cells, size) + 3, min(cells, size) + 3), dtype=np.float32)
        layer = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        field += np.float32(weight) * layer
        weight *= gain
        cells *= 2
    return (field - field.mean()) / (field.std() + np.float32(1e-6))


def _colour(rng: np.random.Generator, low: float = 0.03, high: float = 0.8) -> NDArray[np.float32]:
    """A muted colour in linear light."""
    value = rng.uniform(low, high)
    tint = rng.uniform(0.55, 1.0, 3)
    return (value * tint / tint.max()).astype(np.float32)


def _mask(size: int, polygons: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Coverage [size, size, 1] of filled polygons, anti-aliased."""
    canvas = np.zeros((size, size), np.uint8)
    scale = 1 << _SUBPIXEL_BITS
    for polygon in polygons:
        points = np.round(polygon * scale).astype(np.int32)
        cv2.fillPoly(canvas, [points], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    return (canvas.astype(np.float32) / np.float32(255))[..., None]


def _paint(image: FloatImage, mask: NDArray[np.float32], colour: NDArray[np.float32]) -> None:
    image += mask * (colour - image)


def _textured(rng: np.random.Generator, size: int, colour: NDArray[np.float32], depth: float) -> FloatImage:
    """A surface of one colour, its brightness moved by fractal noise of strength `depth`."""
    field = _noise(rng, size, int(rng.integers(2, 24)), int(rng.integers(4, 6)), float(rng.uniform(0.5, 0.8)))
    return (np.exp(np.float32(depth) * field)[..., None] * colour).astype(np.float32)


def _sky(rng: np.random.Generator, size: int) -> FloatImage:
    """A vertical gradient with clouds."""
    top, bottom = _colour(rng, 0.15, 0.6), _colour(rng, 0.35, 0.9)
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    image: FloatImage = np.ascontiguousarray(
        np.broadcast_to(top + ramp * (bottom - top), (size, size, 3)), np.float32
    )
    clouds = np.clip(_noise(rng, size, 3, 6, 0.55) - np.float32(rng.uniform(0.0, 1.2)), 0, 1)[..., None]
    image += clouds * np.float32(rng.uniform(0.2, 0.9)) * (np.float32(0.9) - image)
    return image


def _landscape(rng: np.random.Generator, size: int) -> FloatImage:
    """Ridges of hills before a sky, each with its own texture."""
    image = _sky(rng, size)
    steps = np.linspace(0, size, 65, dtype=np.float32)
    for ridge in range(int(rng.integers(2, 5))):
        height = size * (0.35 + 0.17 * ridge) + np.cumsum(rng.normal(0, size * 0.012, 65))
        outline = np.stack([steps, height.astype(np.float32)], axis=1)
        polygon = np.concatenate([outline, [[size, size + 8], [0, size + 8]]]).astype(np.float32)
        ground = _textured(rng, size, _colour(rng, 0.05, 0.45), float(rng.uniform(0.15, 0.6)))
        _paint(image, _mask(size, [polygon]), ground)
    return image


def _city(rng: np.random.Generator, size: int) -> FloatImage:
    """House fronts with rows of windows."""
    image = _sky(rng, size)
    for _ in range(int(rng.integers(5, 10))):
        left, width = rng.uniform(-40, size), rng.uniform(60, 190)
        top = rng.uniform(20, size * 0.7)
        lean = rng.uniform(-0.04, 0.04) * size
        front = np.array(
            [[left + lean, top], [left + width + lean, top], [left + width, size + 4], [left, size + 4]]
        )
        wall = _textured(rng, size, _colour(rng, 0.05, 0.6), float(rng.uniform(0.05, 0.3)))
        _paint(image, _mask(size, [front.astype(np.float32)]), wall)
        pitch_x, pitch_y = rng.uniform(12, 34), rng.uniform(14, 40)
        windows: list[NDArray[np.float32]] = []
        for x in np.arange(left + 6, left + width - pitch_x * 0.6, pitch_x):
            for y in np.arange(top + 8, size, pitch_y):
                shift = lean * (1 - (y - top) / max(size - top, 1))
                box = np.array(
                    [[0, 0], [pitch_x * 0.55, 0], [pitch_x * 0.55, pitch_y * 0.6], [0, pitch_y * 0.6]]
                )
                windows.append((box + np.array([x + shift, y])).astype(np.float32))
        _paint(image, _mask(size, windows), _colour(rng, 0.02, 0.7))
    return image


def _still_life(rng: np.random.Generator, size: int) -> FloatImage:
    """Shaded balls on a textured table."""
    image = _textured(rng, size, _colour(rng, 0.1, 0.6), float(rng.uniform(0.05, 0.35)))
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
    light = rng.normal(0, 1, 3)
    light = light / np.linalg.norm(light)
    roughness = _noise(rng, size, 16, 4, 0.8)
    for _ in range(int(rng.integers(5, 12))):
        x, y, radius = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(25, 110)
        dx, dy = (xx - np.float32(x)) / np.float32(radius), (yy - np.float32(y)) / np.float32(radius)
        inside = dx * dx + dy * dy
        cover = np.clip((1 - np.sqrt(inside)) * np.float32(radius) + np.float32(0.5), 0, 1)[..., None]
        depth = np.sqrt(np.clip(1 - inside, 0, 1))
        shade = np.clip(dx * light[0] + dy * light[1] + depth * abs(light[2]), 0, 1).astype(np.float32)
        grain = np.exp(np.float32(rng.uniform(0, 0.25)) * roughness)
        surface = ((np.float32(0.15) + np.float32(0.85) * shade) * grain)[..., None] * _colour(
            rng, 0.15, 0.85
        )
        shadow = np.clip(1 - np.sqrt((dx - 0.35) ** 2 + ((dy - 0.45) / 0.8) ** 2), 0, 1)[..., None]
        image *= 1 - np.float32(0.5) * shadow.astype(np.float32)
        _paint(image, cover, surface)
    return image


def _foliage(rng: np.random.Generator, size: int) -> FloatImage:
    """Many small leaves over a dark ground."""
    image = _textured(rng, size, _colour(rng, 0.02, 0.15), 0.4)
    for _ in range(6):
        colour = _colour(rng, 0.05, 0.6)
        leaves: list[NDArray[np.float32]] = []
        for _ in range(int(rng.integers(40, 120))):
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(8, 42)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            leaf = (
                np.array([[-1, 0], [-0.3, 0.28], [0.4, 0.22], [1, 0], [0.4, -0.22], [-0.3, -0.28]]) * length
            )
            leaves.append((leaf @ turn + rng.uniform(0, size, 2)).astype(np.float32))
        shade = np.exp(np.float32(0.35) * _noise(rng, size, 12, 4, 0.7))[..., None]
        _paint(image, _mask(size, leaves), shade * colour)
    return image


def _mosaic(rng: np.random.Generator, size: int) -> FloatImage:
    """Cells of a jittered grid, each with its own colour: tiles, stones, fabric."""
    cells = int(rng.integers(6, 22))
    centres = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), -1) + rng.uniform(
        0.1, 0.9, (cells, cells, 2)
    )
    base, spread = _colour(rng, 0.1, 0.6), rng.uniform(0.1, 0.7)
    colours = np.clip(base * np.exp(rng.normal(0, spread, (cells * cells, 3))), 0.01, 1).astype(np.float32)
    canvas = np.zeros((size, size), np.uint8)
    seeds = np.round(centres.reshape(-1, 2) * size / cells).astype(np.int32)
    canvas[np.clip(seeds[:, 1], 0, size - 1), np.clip(seeds[:, 0], 0, size - 1)] = 1
    _, labels = cv2.distanceTransformWithLabels(1 - canvas, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    image = colours[labels % len(colours)]
    image = blur(image, float(rng.uniform(0.6, 1.4)))
    return image * np.exp(np.float32(rng.uniform(0.05, 0.3)) * _noise(rng, size, 10, 5, 0.75))[..., None]


_KINDS: tuple[Callable[[np.random.Generator, int], FloatImage], ...] = (
    _landscape,
    _city,
    _still_life,
    _foliage,
    _mosaic,
)


def draw_scene(rng: np.random.Generator, kind: int) -> FloatImage:
    """One scene [512, 512, 3] in linear light, about 0..1; `kind` picks the way it is drawn (any integer >=
    0).
    """
    image = _KINDS[kind % len(_KINDS)](rng, SCENE_SIZE)
    exposure = np.float32(rng.uniform(0.28, 0.5)) / max(float(np.mean(image)), 1e-3)
    # Light falls unevenly on every real surface, so no scene stays perfectly flat.
    light = np.exp(np.float32(0.12) * _noise(rng, SCENE_SIZE, 2, 2, 0.5))[..., None]
    return np.clip(image * exposure * light, 0.0, 1.5).astype(np.float32)
