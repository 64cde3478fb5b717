"""Parametric faces: an identity is a vector of proportions and tones, a view is pose, light, expression, age.

Everything is drawn with numpy in linear light, from signed distances, so that equal parameters give equal
pixels. A face is a shaded ellipsoid whose features sit on its surface and move by parallax when it turns;
what this models and what not is in docs/veid-face.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Pixels, noise_field

TRAITS: dict[str, tuple[float, float]] = {
    'head_width': (0.66, 0.06),
    'head_height': (0.90, 0.06),
    'jaw': (2.5, 0.35),
    'chin': (0.16, 0.07),
    'eye_distance': (0.30, 0.045),
    'eye_height': (-0.08, 0.06),
    'eye_width': (0.135, 0.025),
    'eye_opening': (0.062, 0.016),
    'eye_tilt': (0.0, 0.14),
    'iris': (0.058, 0.008),
    'iris_tone': (0.10, 0.07),
    'brow_gap': (0.165, 0.035),
    'brow_thickness': (0.036, 0.013),
    'brow_length': (0.19, 0.035),
    'brow_tilt': (0.0, 0.17),
    'nose_length': (0.35, 0.06),
    'nose_width': (0.12, 0.03),
    'nose_bridge': (0.05, 0.015),
    'mouth_height': (0.50, 0.05),
    'mouth_width': (0.24, 0.045),
    'lip_upper': (0.036, 0.013),
    'lip_lower': (0.052, 0.016),
    'lip_tone': (0.55, 0.14),
    'hairline': (-0.56, 0.11),
    'hair_side': (0.10, 0.05),
    'hair_tone': (0.10, 0.12),
    'beard': (0.0, 0.22),
    'skin': (0.42, 0.14),
    'cheek': (0.0, 0.10),
}
"""Mean and deviation of each trait over identities; lengths in half heads of about 32 pixels."""

_SPREAD = 2.2
"""Traits are cut off at this many deviations."""

MOLES_MAX = 3


@dataclass(frozen=True)
class Identity:
    """Who: the traits by name and the moles [n, 3] (x, y, radius)."""

    traits: dict[str, float]
    moles: NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """How this identity is seen once: angles in radians, lengths as in TRAITS, light as a unit vector."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    light: tuple[float, float, float]
    ambient: float
    mouth_open: float
    smile: float
    eyes_open: float
    gaze: float
    age: float
    texture_seed: int
    micro_texture: float = 0.07


def draw_identity(rng: np.random.Generator, spread: float = 1.0) -> Identity:
    """An identity: independent traits, cut normal, and up to MOLES_MAX moles; `spread` scales deviations."""
    values = spread * np.clip(rng.standard_normal(len(TRAITS)), -_SPREAD, _SPREAD)
    traits = {
        name: float(mean + deviation * value)
        for (name, (mean, deviation)), value in zip(TRAITS.items(), values, strict=True)
    }
    count = int(rng.integers(0, MOLES_MAX + 1))
    moles = np.column_stack(
        [rng.uniform(-0.45, 0.45, count), rng.uniform(-0.35, 0.65, count), rng.uniform(0.014, 0.03, count)]
    )
    return Identity(traits, moles.astype(np.float32))


def draw_view(rng: np.random.Generator, turn: float = 1.0) -> View:
    """A view; `turn` scales the angles (1: up to 17 degrees of yaw)."""
    azimuth, elevation = rng.uniform(-1.1, 1.1), rng.uniform(-0.3, 0.9)
    light = np.array(
        [np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
    )
    return View(
        yaw=float(turn * rng.uniform(-0.3, 0.3)),
        pitch=float(turn * rng.uniform(-0.16, 0.16)),
        roll=float(turn * rng.uniform(-0.10, 0.10)),
        scale=float(rng.uniform(0.93, 1.07)),
        shift=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.06, 0.06))),
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=float(rng.uniform(0.25, 0.6)),
        mouth_open=float(max(0.0, rng.normal(-0.02, 0.03))),
        smile=float(rng.normal(0.0, 0.03)),
        eyes_open=float(np.clip(rng.normal(1.0, 0.12), 0.55, 1.25)),
        gaze=float(rng.normal(0.0, 0.015)),
        age=float(rng.uniform(0.0, 1.0)),
        texture_seed=int(rng.integers(0, 2**31)),
    )


def _skin_colour(tone: float) -> NDArray[np.float32]:
    """Linear colour of skin of reflectance `tone` in green: darker skin is redder."""
    return np.array([min(tone * 1.45, 0.95), tone, tone * (0.55 + 0.4 * tone)], np.float32)


class _Head:
    """Where a point of the face's surface appears when the head is turned."""

    def __init__(self, traits: dict[str, float], view: View) -> None:
        self.width, self.height = traits['head_width'], traits['head_height']
        self.yaw, self.pitch = view.yaw, view.pitch

    def at(self, x: float, y: float, lift: float = 0.0) -> tuple[tuple[float, float], float]:
        """Place on the canvas of the surface point (x, y), raised by `lift`, and its shortening in x."""
        inside = (x / self.width) ** 2 + (y / self.height) ** 2
        depth = 0.75 * float(np.sqrt(max(0.0, 1 - inside))) + lift
        place = (
            x * np.cos(self.yaw) + depth * np.sin(self.yaw),
            y * np.cos(self.pitch) - depth * np.sin(self.pitch),
        )
        slope = np.arctan2(x / self.width, 1.0)
        return (float(place[0]), float(place[1])), float(max(0.35, np.cos(self.yaw + slope) / np.cos(slope)))


def render(
    identity: Identity, view: View, size: int, background: NDArray[np.float32]
) -> tuple[Pixels, Pixels]:
    """The picture [size, size, 3] in linear light and the cover [size, size] of the head.

    `background` is a colour [3]; it is varied by a soft field.
    """
    t = identity.traits
    canvas = Canvas(size, view.shift, view.roll, view.scale)
    head = _Head(t, view)
    field = noise_field(view.texture_seed, size, 3, 2)
    canvas.image += (background * np.exp(np.float32(0.25) * field)[..., None]).astype(np.float32)
    age = view.age
    grey = np.float32(min(0.9, max(0.01, t['hair_tone']) + 0.18 * max(0.0, age - 0.6)))
    hair = np.array([grey * 1.1, grey * 0.9, grey * 0.75], np.float32)
    side = max(0.0, t['hair_side'])
    canvas.paint(
        canvas.blob((0.0, -0.12), (t['head_width'] + side, t['head_height'] * 0.95), power=2.2), hair
    )
    shape = canvas.blob((0.0, 0.0), (t['head_width'], t['head_height']), power=max(1.9, t['jaw']))
    taper = np.clip(
        1
        - (np.abs(canvas.x) - np.float32(t['head_width'] * (1 - t['chin']))) / np.float32(0.12)
        - np.clip(np.float32(0.45) - canvas.y, 0, 1) * 6,
        0,
        1,
    )
    below = np.clip((canvas.y - np.float32(0.35)) * 4, 0, 1)
    cover: Pixels = (shape * (1 - below * (1 - taper))).astype(np.float32)
    skin = _skin_colour(float(np.clip(t['skin'], 0.08, 0.75)))
    canvas.paint(cover, skin)
    _paint_features(canvas, head, identity, view, skin)
    _shade(canvas, t, view, cover)
    texture = noise_field(view.texture_seed + 1, size, size // 3, 2)
    canvas.darken(cover * texture, view.micro_texture)
    brow = head.at(0.0, t['hairline'])[0][1]
    top = np.clip(
        (np.float32(brow) - canvas.y + np.float32(0.25) * canvas.x * canvas.x) / np.float32(0.06), 0, 1
    )
    strands = noise_field(view.texture_seed + 2, size, size // 4, 2)
    canvas.paint((cover * top).astype(np.float32), (hair * 0.9).astype(np.float32))
    canvas.darken((cover * top * strands).astype(np.float32), 0.15)
    return np.clip(canvas.image, 0, 1.5), cover


def _paint_features(
    canvas: Canvas, head: _Head, identity: Identity, view: View, skin: NDArray[np.float32]
) -> None:
    t, age = identity.traits, view.age
    beard = max(0.0, t['beard'])
    if beard > 0.02:
        place, short = head.at(0.0, 0.62)
        canvas.darken(canvas.blob(place, (0.42 * short, 0.36), softness=0.35), min(0.6, 2.0 * beard))
    for sign in (-1.0, 1.0):
        _paint_eye(canvas, head, t, view, sign)
        place, short = head.at(sign * 0.36, t['mouth_height'] - 0.25)
        canvas.darken(canvas.blob(place, (0.2 * short, 0.17), softness=0.9), t['cheek'])
        fold, short = head.at(sign * (t['nose_width'] + 0.12), t['mouth_height'] - 0.12)
        canvas.darken(canvas.blob(fold, (0.022 * short, 0.14), angle=-sign * 0.45, softness=0.7), 0.28 * age)
    base, short = head.at(0.0, t['eye_height'] + t['nose_length'], lift=0.14)
    turned = float(np.clip(view.light[0], -1, 1))
    for sign in (-1.0, 1.0):
        flank, _ = head.at(sign * t['nose_bridge'], t['eye_height'] + 0.55 * t['nose_length'], lift=0.08)
        shade = 0.20 + 0.30 * max(0.0, -sign * turned)
        canvas.darken(
            canvas.blob(flank, (0.035, 0.5 * t['nose_length']), angle=-sign * 0.12, softness=0.9), shade
        )
        nostril = (base[0] + sign * 0.5 * t['nose_width'] * short, base[1])
        canvas.darken(canvas.blob(nostril, (0.3 * t['nose_width'], 0.026)), 0.6)
    canvas.darken(canvas.blob(base, (t['nose_width'] * short, 0.06), softness=0.9), 0.18)
    canvas.darken(canvas.blob((base[0], base[1] - 0.06), (0.05, 0.05), softness=1.0), -0.15)
    lips = (skin * np.array([1.05, t['lip_tone'], t['lip_tone'] * 1.05])).astype(np.float32)
    mouth, short = head.at(0.0, t['mouth_height'], lift=0.04)
    opening = view.mouth_open
    width = (t['mouth_width'] + view.smile) * short
    canvas.paint(
        canvas.blob((mouth[0], mouth[1] - 0.6 * t['lip_upper']), (width * 0.95, t['lip_upper'])), lips
    )
    canvas.paint(
        canvas.blob((mouth[0], mouth[1] + 0.6 * t['lip_lower'] + opening), (width * 0.85, t['lip_lower'])),
        lips,
    )
    canvas.darken(canvas.blob(mouth, (width, 0.012 + opening), power=2.4), 0.75)
    for x, y, radius in identity.moles.tolist():
        place, _ = head.at(x, y)
        canvas.darken(canvas.blob(place, (radius, radius)), 0.65)
    for row in range(2):
        place, short = head.at(0.0, t['eye_height'] - t['brow_gap'] - 0.12 - 0.08 * row)
        canvas.darken(canvas.blob(place, (0.26 * short, 0.012), softness=0.8), 0.22 * age)


def _paint_eye(canvas: Canvas, head: _Head, t: dict[str, float], view: View, sign: float) -> None:
    place, short = head.at(sign * t['eye_distance'], t['eye_height'])
    angle = sign * t['eye_tilt'] + 1e-6
    width, opening = t['eye_width'] * short, t['eye_opening'] * view.eyes_open
    canvas.darken(canvas.blob(place, (width * 1.5, opening * 2.2), softness=0.8), 0.22)
    lid = canvas.blob(place, (width, opening), angle)
    canvas.paint(lid, 0.75)
    iris = canvas.blob((place[0] + view.gaze, place[1]), (t['iris'], t['iris']))
    tone = max(0.01, t['iris_tone'])
    canvas.paint((lid * iris).astype(np.float32), np.array([tone, tone * 0.9, tone * 1.1], np.float32))
    pupil = canvas.blob((place[0] + view.gaze, place[1]), (0.024, 0.024))
    canvas.paint((lid * pupil).astype(np.float32), 0.01)
    canvas.darken(canvas.blob((place[0], place[1] - opening), (width, 0.014), angle), 0.55)
    brow, short = head.at(sign * t['eye_distance'], t['eye_height'] - t['brow_gap'])
    radii = (t['brow_length'] * short, max(0.01, t['brow_thickness']))
    canvas.darken(
        canvas.blob(brow, radii, sign * t['brow_tilt'] + 1e-6, softness=0.35),
        float(np.clip(0.8 - t['hair_tone'], 0.3, 0.85)),
    )


def _shade(canvas: Canvas, t: dict[str, float], view: View, cover: Pixels) -> None:
    nx = np.clip(canvas.x / np.float32(t['head_width'] * 1.08), -1, 1)
    ny = np.clip(canvas.y / np.float32(t['head_height'] * 1.08), -1, 1)
    nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.02, 1))
    lx, ly, lz = (np.float32(value) for value in view.light)
    lambert = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    light = np.float32(view.ambient) + np.float32(1.1 - view.ambient) * lambert
    canvas.image *= 1 + cover[..., None] * (light[..., None] - 1)
