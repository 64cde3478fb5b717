# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# OpenCV and NumPy ship no complete types.
"""Presentation attacks as physics: a face printed on paper, shown on a screen, or worn as a mask.

Each attack instrument (printer, screen, mask) is drawn once from its number, so that a split can hold out
instruments. Patterns are computed at SCALE times the resolution of the finished picture, and the camera then
samples them: moire and beating are not painted, they arise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import Pixels
from .faces import Identity, View, render

ATTACKS = ('print', 'screen', 'mask')
"""Kinds of attack, in the order in which their streams of random numbers count them."""

SCALE = 3
"""Samples of the pattern per pixel of the finished picture, in each direction."""

_FACE_SCALE = 1.5
"""Faces are drawn at this multiple and enlarged: their own detail ends there."""

_INSTRUMENT_STREAM = 0x696E73


@dataclass(frozen=True)
class Scene:
    """What stands before the camera; `size` is the side of the finished picture in pixels."""

    identity: Identity
    view: View
    background: NDArray[np.float32]
    size: int


def _instrument(kind: str, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([_INSTRUMENT_STREAM, ATTACKS.index(kind), number]))


def live(scene: Scene) -> Pixels:
    """The face itself [SCALE size, SCALE size, 3] in linear light."""
    drawn, _ = render(scene.identity, scene.view, round(scene.size * _FACE_SCALE), scene.background)
    return _enlarge(drawn, scene.size * SCALE)


def attack(kind: str, number: int, scene: Scene, rng: np.random.Generator) -> Pixels:
    """The same face presented by instrument `number` of `kind`; shape and light as of `live`."""
    if kind == 'mask':
        return _mask(scene, number)
    pattern = _print if kind == 'print' else _screen
    return pattern(_reproduced(scene, rng), number, rng)


def _enlarge(picture: Pixels, side: int) -> Pixels:
    grown = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(grown, 0, 2).astype(np.float32, copy=False)


def _reproduced(scene: Scene, rng: np.random.Generator) -> Pixels:
    """The photograph that the attacker prints or shows: 0..1, slightly soft, its contrast fitted."""
    drawn = live(scene)
    soft = cv2.GaussianBlur(drawn, (0, 0), float(rng.uniform(0.5, 1.2)))
    whitest = np.float32(max(0.2, float(np.quantile(soft, 0.99))))
    return np.clip(soft / whitest, 0, 1).astype(np.float32, copy=False)


def _grid(side: int, angle: float, pitch: float, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Phases [side, side] of a turned lattice of `pitch` samples, its origin anywhere."""
    axis = np.arange(side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    cos, sin = np.float32(np.cos(angle) / pitch), np.float32(np.sin(angle) / pitch)
    first, second = rng.uniform(0, 1, 2).astype(np.float32)
    return cos * x + sin * y + first, cos * y - sin * x + second


def _print(shown: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """Amplitude-modulated halftone in three inks on paper with fibres; inks spread and never reach black."""
    device = _instrument('print', number)
    side = shown.shape[0]
    pitch = float(device.uniform(4.8, 8.4))
    angles = np.deg2rad(device.permutation([15.0, 45.0, 75.0]))
    spread, black = float(device.uniform(0.45, 0.8)), device.uniform(0.02, 0.08, 3).astype(np.float32)
    contrast = float(device.uniform(0.75, 1.0))
    tilt = float(rng.uniform(-0.15, 0.15))
    ink = np.empty_like(shown)
    coverage = 1 - np.clip(shown, 0, 1) ** np.float32(1 / 2.0)
    for channel in range(3):
        u, v = _grid(side, float(angles[channel]) + tilt, pitch, rng)
        screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v))
        ink[..., channel] = np.clip((coverage[..., channel] - screen) * 6 + 0.5, 0, 1)
    ink = cv2.GaussianBlur(ink, (0, 0), spread)
    fibres = rng.standard_normal((side, side, 1), dtype=np.float32)
    paper = 0.85 + np.float32(device.uniform(0.008, 0.02)) * cv2.GaussianBlur(fibres, (0, 0), 0.8)[..., None]
    return (paper * (1 - np.float32(contrast) * ink * (1 - black))).astype(np.float32)


def _screen(shown: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """An emitting lattice of pixels with three stripes each, dark gaps, a black level and a refresh band."""
    device = _instrument('screen', number)
    side = shown.shape[0]
    pitch = float(device.uniform(2.6, 5.2))
    fill, gap = float(device.uniform(0.6, 0.9)), float(device.uniform(0.05, 0.3))
    black = device.uniform(0.004, 0.03, 3).astype(np.float32)
    tilt = float(rng.uniform(-0.08, 0.08))
    zoom = float(rng.uniform(0.92, 1.08))
    u, v = _grid(side, tilt, pitch * zoom, rng)
    row = np.where((v % 1) < fill, np.float32(1), np.float32(gap))
    stripes = np.empty_like(shown)
    for channel in range(3):
        phase = (u - np.float32(channel / 3)) % 1
        stripes[..., channel] = np.where(phase < np.float32(1 / 3 + 0.12 * fill), 1, np.float32(0.5 * gap))
    band = 1 + np.float32(rng.uniform(0, 0.12)) * np.sin(
        2 * np.pi * (np.linspace(0, rng.uniform(0.5, 2.0), side) + rng.uniform(0, 1))
    ).astype(np.float32)
    light = (shown + black) * stripes * row[..., None] * band[:, None, None]
    return (light * np.float32(2.2)).astype(np.float32)


def _mask(scene: Scene, number: int) -> Pixels:
    """A rigid mask of another material: no pores, a gloss that follows the light, seams round its openings.

    What shows through the openings for the eyes is the wearer, deeper and in shade.
    """
    device = _instrument('mask', number)
    gloss, tightness = float(device.uniform(0.25, 0.45)), float(device.uniform(8, 20))
    seam, opening = float(device.uniform(0.6, 0.85)), float(device.uniform(1.25, 1.6))
    tone = device.uniform(0.85, 1.12, 3).astype(np.float32)
    view = replace(
        scene.view, micro_texture=float(device.uniform(0.0, 0.01)), mouth_open=0.0, smile=0.0, age=0.0
    )
    size = round(scene.size * _FACE_SCALE)
    drawn, cover = render(scene.identity, view, size, scene.background)
    traits = scene.identity.traits
    smooth = cv2.GaussianBlur(drawn, (0, 0), 0.9)
    surface = (drawn + cover[..., None] * np.float32(0.7) * (smooth - drawn)) * (
        1 + cover[..., None] * (tone - 1)
    )
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2.3 / size) - np.float32(1.15)
    x, y = np.meshgrid(axis - np.float32(view.shift[0]), axis - np.float32(view.shift[1]))
    nx, ny = x / np.float32(traits['head_width'] * 1.1), y / np.float32(traits['head_height'] * 1.1)
    nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.02, 1))
    half = np.array([view.light[0], view.light[1], view.light[2] + 1.0])
    hx, hy, hz = (np.float32(value) for value in half / np.linalg.norm(half))
    highlight = np.clip(nx * hx + ny * hy + nz * hz, 0, 1) ** np.float32(tightness)
    surface += (cover * highlight * np.float32(gloss))[..., None]
    for sign in (-1.0, 1.0):
        dx = (x - np.float32(sign * traits['eye_distance'] + 0.7 * np.sin(view.yaw))) / np.float32(
            traits['eye_width'] * opening
        )
        dy = (y - np.float32(traits['eye_height'])) / np.float32(traits['eye_opening'] * opening * 1.3)
        ring = np.exp(-(((np.sqrt(dx * dx + dy * dy) - 1) / 0.28) ** 2)).astype(np.float32)
        surface *= 1 - np.float32(seam) * (ring * cover)[..., None]
    rim = np.clip(cv2.GaussianBlur(cover, (0, 0), 1.2) * (1 - cv2.GaussianBlur(cover, (0, 0), 1.2)) * 4, 0, 1)
    surface *= 1 - np.float32(0.6 * seam) * (rim * cover)[..., None]
    return _enlarge(surface.astype(np.float32), scene.size * SCALE)
