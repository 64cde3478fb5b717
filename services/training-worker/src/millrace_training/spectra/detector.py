"""What a 3 x 3 inch NaI(Tl) scintillator makes of a photon line: expected counts over deposited energy.

Each effect has its formula and source; the figures are those of a common hand-held instrument, simplified to
what decides about the shape of a spectrum. Energies in keV.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .isotopes import LINES

ELECTRON_KEV = 510.999
GRID_MAX_KEV = 3_200.0
GRID_STEP_KEV = 1.0
GRID: NDArray[np.float64] = np.arange(0.5, GRID_MAX_KEV, GRID_STEP_KEV)
"""Centres of the deposited-energy bins."""

IODINE_ESCAPE_KEV = 28.6
"""Energy that the K X-ray of iodine carries out of the crystal."""

THRESHOLD_KEV = 15.0
"""Half of the pulses of this size pass the discriminator."""

Array = NDArray[np.float64]


def compton_edge(energy: float) -> float:
    """Largest energy of a recoil electron: E · 2a / (1 + 2a), a = E / 511 keV."""
    a = energy / ELECTRON_KEV
    return energy * 2 * a / (1 + 2 * a)


def backscatter_energy(energy: float) -> float:
    """Energy of a photon scattered by 180 degrees: E / (1 + 2a)."""
    return energy - compton_edge(energy)


def compton_continuum(energy: float) -> Array:
    """Spectrum of recoil electrons over GRID with sum 1, by Klein and Nishina (Z. Phys. 52, 1929)."""
    a = energy / ELECTRON_KEV
    s = np.minimum(GRID / energy, 1 - 1e-9)
    shape = 2 + s**2 / (a**2 * (1 - s) ** 2) + s / (1 - s) * (s - 2 / a)
    shape = np.where(compton_edge(energy) >= GRID, np.maximum(shape, 0.0), 0.0)
    total = shape.sum()
    return shape / total if total > 0 else shape


def photofraction(energy: float) -> float:
    """Share of the interacting photons that leave all their energy: near 1 at 100 keV, about 0.55 at 662
    keV and a third at 1,332 keV, as measured for 3 x 3 inch crystals (Heath, Scintillation Spectrometry,
    1964).
    """
    return 1 / (1 + (energy / 790.0) ** 1.3)


def efficiency(energy: float) -> float:
    """Share of the photons on the crystal that interact: the aluminium window takes those of low energy, the
    finite depth lets those of high energy through.
    """
    window = math.exp(-((22.0 / energy) ** 2.5))
    depth = 1 - math.exp(-(0.9 + 6.5 * (150.0 / energy) ** 1.6))
    return window * depth


def fwhm(energy: Array, resolution: float) -> Array:
    """Full width at half maximum: `resolution` · 662 keV at 662 keV, growing with the root of energy (photon
    statistics), and 2 keV of noise.
    """
    return np.sqrt(4.0 + (resolution * 661.66) ** 2 * np.maximum(energy, 1.0) / 661.66)


def _deposit(counts: Array, energy: float, amount: float) -> None:
    """Put `amount` at `energy`, shared by the two bins around it."""
    position = energy / GRID_STEP_KEV - 0.5
    low = math.floor(position)
    share = position - low
    for index, part in ((low, 1 - share), (low + 1, share)):
        if 0 <= index < len(counts):
            counts[index] += amount * part


def line_response(energy: float, scatter: float) -> Array:
    """Expected deposit per photon on the crystal, before resolution; `scatter` is the share of
    backscattered and of small-angle photons that the surroundings add.
    """
    counts = np.zeros_like(GRID)
    hit = efficiency(energy)
    peak = hit * photofraction(energy)
    escaped = 0.18 * math.exp(-((energy / 90.0) ** 1.2)) if energy > IODINE_ESCAPE_KEV + 5 else 0.0
    _deposit(counts, energy, peak * (1 - escaped))
    _deposit(counts, energy - IODINE_ESCAPE_KEV, peak * escaped)
    rest = hit - peak
    if energy > 2 * ELECTRON_KEV:
        # Pair production: one or both annihilation photons leave the crystal.
        pairs = rest * min(0.2, 0.1 * (energy / (2 * ELECTRON_KEV) - 1))
        _deposit(counts, energy - ELECTRON_KEV, 0.55 * pairs)
        _deposit(counts, energy - 2 * ELECTRON_KEV, 0.25 * pairs)
        _deposit(counts, ELECTRON_KEV, 0.2 * pairs)
        rest -= pairs
    edge = compton_edge(energy)
    counts += 0.82 * rest * compton_continuum(energy)
    # Several Compton scatters fill the valley between the edge and the peak.
    valley = (edge < GRID) & (energy > GRID)
    if valley.any():
        counts += 0.18 * rest * valley / valley.sum()
    back = backscatter_energy(energy)
    bump = np.exp(-0.5 * ((GRID - back * 1.06) / (0.11 * back)) ** 2)
    counts += hit * scatter * bump / bump.sum()
    # Photons scattered by small angles on their way lie below the peak.
    below = np.where((energy > GRID) & (0.3 * energy < GRID), np.exp(-(energy - GRID) / (0.25 * energy)), 0.0)
    counts += hit * 0.6 * scatter * below / below.sum()
    return counts


def smear(counts: Array, resolution: float) -> Array:
    """Counts over GRID after the Gaussian resolution of the detector and its discriminator."""
    sigma = fwhm(GRID, resolution) / math.sqrt(8 * math.log(2))
    distance = (GRID[None, :] - GRID[:, None]) / sigma[:, None]
    kernel = np.where(np.abs(distance) < 6, np.exp(-0.5 * distance**2), 0.0)
    smeared = counts @ (kernel / kernel.sum(axis=1, keepdims=True))
    return smeared / (1 + np.exp(-(GRID - THRESHOLD_KEV) / 2.5))


def source_response(isotope: str, scatter: float) -> Array:
    """Expected deposits of one source over GRID with sum 1, before resolution."""
    total = np.zeros_like(GRID)
    for energy, intensity in LINES[isotope]:
        total += intensity * line_response(energy, scatter)
    return total / total.sum()


def room_background(shares: Array) -> Array:
    """Deposits of a room with sum 1: `shares` of K-40, Ra-226, Th-232 and of the skyshine continuum, which
    falls off exponentially.
    """
    sky = np.exp(-GRID / 210.0) + 0.02 * np.exp(-GRID / 1_200.0)
    parts = [source_response(name, 0.5) for name in ('K-40', 'Ra-226', 'Th-232')]
    total = sum((share * part for share, part in zip(shares[:3], parts, strict=True)), np.zeros_like(GRID))
    total = total + shares[3] * sky / sky.sum()
    return total / total.sum()
