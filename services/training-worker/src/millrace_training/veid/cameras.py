"""The device that takes a picture: optics, white balance, exposure, noise, tone curve and JPEG.

A device is drawn once from its number; what varies from shot to shot comes from the caller's generator.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import Pixels

_CAMERA_STREAM = 0x63616D


@dataclass(frozen=True)
class Camera:
    """What stays the same over all shots of a device; `blur` in pixels of the finished picture."""

    blur: float
    white: NDArray[np.float32]
    gamma: float
    noise: float
    shot_noise: float
    quality: int
    sharpening: float


def camera(number: int) -> Camera:
    """Device `number`; equal numbers give equal devices."""
    rng = np.random.Generator(np.random.PCG64([_CAMERA_STREAM, number]))
    return Camera(
        blur=float(rng.uniform(0.30, 0.55)),
        white=rng.uniform(0.9, 1.1, 3).astype(np.float32),
        gamma=float(rng.uniform(1.9, 2.4)),
        noise=float(rng.uniform(0.002, 0.007)),
        shot_noise=float(rng.uniform(0.0005, 0.0015)),
        quality=int(rng.integers(86, 97)),
        sharpening=float(rng.uniform(0.0, 0.5)),
    )


def expose(linear: Pixels, rng: np.random.Generator) -> Pixels:
    """`linear` with mean, contrast and tint drawn from `rng`, as automatic exposure would set them: none
    of the three tells what was photographed.
    """
    mean = linear.mean(dtype=np.float32)
    coarse = cv2.GaussianBlur(linear, (0, 0), 2.0)
    target, contrast = np.float32(rng.uniform(0.16, 0.34)), np.float32(rng.uniform(0.35, 0.6))
    gain = contrast * target / (coarse.std() + np.float32(1e-3))
    exposed = target + gain * (linear - mean)
    return exposed * rng.uniform(0.85, 1.15, 3).astype(np.float32)


def shoot(linear: Pixels, device: Camera, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The finished picture [size, size, 3] uint8 of a scene [n size, n size, 3] in linear light."""
    factor = linear.shape[0] // size
    sigma = device.blur * factor * float(rng.uniform(0.9, 1.2))
    seen = cv2.GaussianBlur(linear, (0, 0), sigma)
    sensor = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
    sensor = expose(np.asarray(sensor, np.float32), rng) * device.white
    grain = rng.standard_normal(sensor.shape, dtype=np.float32)
    deviation = np.sqrt(np.float32(device.noise**2) + np.float32(device.shot_noise) * np.clip(sensor, 0, 1))
    sensor = np.clip(sensor + deviation * grain, 0, 1)
    tone = sensor ** np.float32(1 / device.gamma)
    if device.sharpening > 0:
        tone = tone + np.float32(device.sharpening) * (tone - cv2.GaussianBlur(tone, (0, 0), 1.0))
    picture = np.round(np.clip(tone, 0, 1) * 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, 'JPEG', quality=device.quality, subsampling=0)
    return np.asarray(Image.open(stream).convert('RGB'))
