"""Spectra drawn from the physics: equal parameters give equal spectra.

Every sample has a stream of random numbers of its own, from (seed, split, index); so more samples leave the
first ones as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import detector
from .isotopes import CLASSES

CHANNELS = 1_024
GAIN_KEV = 3.0
"""Width of a channel of a detector that is calibrated; channel 0 starts at 0 keV."""

CONDITIONS = ('clean', 'mixed', 'drifted', 'mixed_drifted')
_RESOLUTIONS = (0.065, 0.070, 0.075, 0.080, 0.085)
_SCATTER = (0.04, 0.12)
_SPLITS = {'train': 1, 'validation': 2, 'test': 3}
_DECIMALS = 13
"""Expected deposits are rounded to this, so that processors that add in another order agree."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranges:
    """Bounds of what differs from sample to sample."""

    counts: tuple[int, int] = (1_000, 60_000)
    """Pulses in a spectrum, log-uniform."""
    source_share: tuple[float, float] = (0.2, 0.9)
    """Of the pulses; the rest is background."""
    dominant_share: tuple[float, float] = (0.5, 0.8)
    """Of a mixture's source pulses, those of the isotope that names the sample."""
    gain_steady: float = 0.005
    """Gain error of a detector that was calibrated lately, uniform to both sides."""
    gain_drift: float = 0.04
    """The same of one that warmed or aged."""
    offset_drift_kev: float = 9.0


@dataclass(frozen=True)
class Truth:
    """What a sample was made of."""

    isotope: str
    condition: str
    second: str
    dominant_share: float
    source_share: float
    counts: int
    gain: float
    offset_kev: float
    resolution: float


@dataclass(frozen=True)
class Samples:
    """Spectra [n, 1024] float32 (counts) and the truth of each."""

    spectra: NDArray[np.float32]
    truths: list[Truth]


class Templates:
    """Expected deposits of every source and of the parts of the background, for a few resolutions."""

    def __init__(self) -> None:
        rows = [detector.source_response(name, scatter) for name in CLASSES for scatter in _SCATTER]
        parts = [detector.room_background(share) for share in np.eye(4)]
        stacked = np.stack([*rows, *parts])
        self._smeared: list[Array] = []
        for resolution in _RESOLUTIONS:
            smeared = detector.smear(stacked, resolution)
            smeared /= smeared.sum(axis=1, keepdims=True)
            self._smeared.append(smeared.round(_DECIMALS))
        self.edges = np.concatenate([[0.0], detector.GRID + detector.GRID_STEP_KEV / 2])

    def source(self, resolution: int, isotope: str, scatter: float) -> Array:
        """Expected deposits of a source; `scatter` 0..1 goes between a bare and a shielded one."""
        row = 2 * CLASSES.index(isotope)
        rows = self._smeared[resolution]
        return (1 - scatter) * rows[row] + scatter * rows[row + 1]

    def background(self, resolution: int, shares: Array) -> Array:
        """Expected deposits of a room; `shares` [4] as in `detector.room_background`, with sum 1."""
        return shares @ self._smeared[resolution][2 * len(CLASSES) :]


def _between(random: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(random.uniform(*bounds))


def draw_sample(
    templates: Templates, random: np.random.Generator, isotope: str, condition: str, ranges: Ranges
) -> tuple[NDArray[np.float32], Truth]:
    """One spectrum [1024] of counts in which `isotope` dominates, and its truth."""
    resolution = int(random.integers(len(_RESOLUTIONS)))
    low, high = ranges.counts
    counts = math.exp(_between(random, (math.log(low), math.log(high))))
    source_share = _between(random, ranges.source_share)
    scatter = random.uniform(size=2)
    dominant, second = 1.0, ''
    source = templates.source(resolution, isotope, float(scatter[0]))
    if 'mixed' in condition:
        dominant = _between(random, ranges.dominant_share)
        others = [name for name in CLASSES if name != isotope]
        rows: list[int] = random.choice(len(others), 2, replace=False).tolist()
        picked = [others[row] for row in rows]
        second = picked[0]
        # The second source takes most of the rest; in half of the mixtures a third one takes its share.
        third = _between(random, (0.0, 0.4)) * (1 - dominant) if random.uniform() < 0.5 else 0.0
        source = (
            dominant * source
            + (1 - dominant - third) * templates.source(resolution, second, float(scatter[1]))
            + third * templates.source(resolution, picked[1], float(scatter[1]))
        )
    shares = random.dirichlet([1.5, 1.5, 1.5, 9.0])
    expected = source_share * source + (1 - source_share) * templates.background(resolution, shares)
    drifts = 'drifted' in condition
    gain = 1 + _between(random, (-1, 1)) * (ranges.gain_drift if drifts else ranges.gain_steady)
    offset = _between(random, (-1, 1)) * (ranges.offset_drift_kev if drifts else 1.0)
    # Channel c takes the pulses between offset + 3 keV · gain · c and the next edge.
    edges = offset + GAIN_KEV * gain * np.arange(CHANNELS + 1)
    cumulative = np.concatenate([[0.0], np.cumsum(expected)])
    mean = np.maximum(np.diff(np.interp(edges, templates.edges, cumulative)), 0.0)
    spectrum = random.poisson(np.round(counts * mean, 9)).astype(np.float32)
    truth = Truth(
        isotope,
        condition,
        second,
        round(dominant, 6),
        round(source_share, 6),
        int(spectrum.sum()),
        round(gain, 6),
        round(offset, 6),
        _RESOLUTIONS[resolution],
    )
    return spectrum, truth


def draw_split(
    templates: Templates,
    split: str,
    count: int,
    seed: int,
    conditions: tuple[str, ...],
    ranges: Ranges,
    tick: Callable[[], None],
) -> Samples:
    """`count` samples of a split; isotopes and conditions take turns, so both are balanced."""
    spectra = np.empty((count, CHANNELS), np.float32)
    truths: list[Truth] = []
    for index in range(count):
        random = np.random.Generator(np.random.PCG64([_SPLITS[split], seed, index]))
        isotope = CLASSES[index % len(CLASSES)]
        condition = conditions[index // len(CLASSES) % len(conditions)]
        spectra[index], truth = draw_sample(templates, random, isotope, condition, ranges)
        truths.append(truth)
        tick()
    return Samples(spectra, truths)

