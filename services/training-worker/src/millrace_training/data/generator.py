"""A picture generator's last layers: what turns content into the pixels of a class "ai" picture.

Generative networks draw small and grow by learned upsampling. A transposed convolution whose kernel is not a
multiple of its stride treats the output phases unequally (Odena et al., "Deconvolution and Checkerboard
Artifacts", Distill 2016), and any learned upsampling leaves copies of the spectrum (Durall et al., CVPR 2020;
Frank et al., ICML 2020). Both are modelled here: content is reduced to a small latent picture with latent
noise, then grown by a random kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .filters import FloatImage, blur, halve, moments

FAMILIES = ('transposed-4', 'transposed-3', 'subpixel', 'nearest-conv')
"""Kinds of learned upsampling, in the order that `family` counts them."""

MARGIN = 8
"""The caller hands over this many extra pixels a side; they absorb the border and a random grid phase."""


def _phase_kernels(family: str, rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Kernels [2, 2, 3, 3]: how each of the four output phases mixes the 3 x 3 latent neighbours
    around it.
    """
    smooth = {0: np.array([0.25, 0.75, 0.0]), 1: np.array([0.0, 0.75, 0.25])}
    kernels = np.empty((2, 2, 3, 3), np.float64)
    for row in (0, 1):
        for column in (0, 1):
            if family == 'nearest-conv':
                kernel = np.zeros((3, 3))
                kernel[1, 1] = 1.0
            elif family == 'transposed-3':
                # Kernel 3, stride 2: phase 0 sees one latent pixel, phase 1 sees two.
                one, two = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.5, 0.5])
                kernel = np.outer(two if row else one, two if column else one)
            else:
                kernel = np.outer(smooth[row], smooth[column])
            kernels[row, column] = kernel
    jitter = 1.4 if family == 'nearest-conv' else 0.7
    kernels *= 1 + rng.normal(0, strength * jitter, (2, 2, 1, 1))
    kernels += rng.normal(0, strength * 0.35, kernels.shape)
    # A trained generator keeps the mean brightness; only the differences between the phases stay.
    return (kernels / kernels.mean(axis=(0, 1)).sum()).astype(np.float32)


def upsample(latent: FloatImage, kernels: NDArray[np.float32]) -> FloatImage:
    """Grow [h, w, 3] to [2 h, 2 w, 3] by a stride 2 transposed convolution, given as its phase kernels."""
    height, width = latent.shape[:2]
    grown = np.empty((2 * height, 2 * width, 3), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            grown[row::2, column::2] = cv2.filter2D(
                latent, cv2.CV_32F, kernels[row, column], borderType=cv2.BORDER_REFLECT_101
            )
    return grown


def synthesise(display: FloatImage, rng: np.random.Generator, family: int, size: int) -> FloatImage:
    """The generated picture [size, size, 3] (0..1) of what `display` [size + 16, size + 16, 3] shows."""
    name = FAMILIES[family % len(FAMILIES)]
    strength = float(rng.uniform(0.025, 0.055))
    latent = halve(display)
    sharpen = np.float32(rng.uniform(0.2, 0.8))
    latent += sharpen * (latent - blur(latent, 1.0))
    latent += np.float32(rng.uniform(0.006, 0.02)) * rng.standard_normal(latent.shape, dtype=np.float32)
    grown = upsample(latent, _phase_kernels(name, rng, strength))
    top, left = int(rng.integers(0, 2 * MARGIN)), int(rng.integers(0, 2 * MARGIN))
    return np.clip(grown[top : top + size, left : left + size], 0.0, 1.0)


def match(picture: FloatImage, reference: FloatImage) -> Callable[[float], FloatImage]:
    """`picture` with the brightness and contrast of `reference`, each channel for itself, as a function of
    its detail.

    The result takes a gain on the fine detail; 1 gives it the energy of the reference's. Without this the
    classes would differ in means, noise and so in JPEG size, and a linear model could tell them apart.
    """
    smooth, wanted = blur(picture, 1.2), blur(reference, 1.2)
    fine, fine_wanted = picture - smooth, reference - wanted
    mean, deviation = moments(smooth)
    mean_wanted, deviation_wanted = moments(wanted)
    detail = np.clip(moments(fine_wanted)[1] / (moments(fine)[1] + 1e-6), 0.5, 2.5)
    fine = fine * detail.astype(np.float32)
    scale = np.clip(deviation_wanted / (deviation + 1e-6), 0.7, 1.4)
    smooth = smooth * scale.astype(np.float32) + (mean_wanted - mean * scale).astype(np.float32)

    def with_detail(gain: float) -> FloatImage:
        return np.clip(smooth + np.float32(gain) * fine, 0.0, 1.0).astype(np.float32, copy=False)

    return with_detail
