"""A made dataset: what an overhead people counter at an entrance sees of a crowd, in windows of ten
seconds.

Density and walking speed are tied by Weidmann's fundamental diagram (Weidmann, Transporttechnik der
Fussgänger, 1993): v = 1.34 m/s * (1 - exp(-1.913 m^-2 * (1 / density - 1 / 5.4 m^-2))). A state sets the
density, how far people keep to that speed, how they head, and how density changes; the counter sees it
through noise that grows with density, since people hide each other. Modelled are seven states on one open
square; not modelled are weather, luggage, groups and any real place. Neighbouring states overlap, so no
classifier can be right about all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JAM_DENSITY = 5.4
"""Persons a square metre at which nobody walks any more (Weidmann)."""

FREE_SPEED = 1.34
"""Mean speed of walkers that nobody hinders, in m/s (Weidmann)."""

_STEEPNESS = 1.913
_WINDOW_S = 10.0

FEATURES: tuple[tuple[str, str], ...] = (
    ('people_count', 'persons'),
    ('count_deviation', 'persons'),
    ('density', 'persons/m2'),
    ('speed_mean', 'm/s'),
    ('speed_deviation', 'm/s'),
    ('heading_order', '1'),
    ('flow', 'persons/(m s)'),
    ('standing_share', '1'),
    ('sound_level', 'dB(A)'),
    ('count_trend', 'persons/s'),
)
"""Columns and their units."""


@dataclass(frozen=True)
class State:
    """Ranges that a state draws from: density (persons/m2), share of the speed that the density allows,
    order of headings (0 in all directions, 1 in one), share that stands, relative change of density a
    second, sound over speech (dB).
    """

    density: tuple[float, float]
    pace: tuple[float, float]
    order: tuple[float, float]
    standing: tuple[float, float]
    trend: tuple[float, float]
    loudness: tuple[float, float]


STATES: dict[str, State] = {
    'calm': State((0.02, 0.35), (0.85, 1.1), (0.0, 0.5), (0.0, 0.25), (-0.01, 0.01), (-4, 2)),
    'flowing': State((0.25, 1.2), (0.85, 1.1), (0.55, 0.95), (0.0, 0.12), (-0.015, 0.015), (-2, 3)),
    'crossing': State((0.3, 1.4), (0.6, 0.95), (0.05, 0.5), (0.02, 0.2), (-0.015, 0.015), (-2, 4)),
    'queueing': State((0.8, 2.4), (0.08, 0.45), (0.35, 0.85), (0.4, 0.85), (-0.01, 0.02), (-3, 2)),
    'gathering': State((0.5, 2.6), (0.2, 0.7), (0.05, 0.45), (0.35, 0.8), (0.01, 0.05), (0, 7)),
    'congested': State((2.1, 4.8), (0.5, 1.0), (0.1, 0.7), (0.2, 0.6), (-0.01, 0.02), (1, 7)),
    'dispersing': State((0.4, 2.6), (0.75, 1.15), (0.2, 0.75), (0.0, 0.25), (-0.06, -0.012), (-1, 4)),
}
"""The seven states, by name."""


def walking_speed(density: float) -> float:
    """Mean walking speed in m/s at `density` persons/m2; zero from the jam density on."""
    if density >= JAM_DENSITY:
        return 0.0
    return FREE_SPEED * (1 - float(np.exp(-_STEEPNESS * (1 / density - 1 / JAM_DENSITY))))


def _observe(state: State, random: np.random.Generator) -> list[float]:
    """What the counter reports of one window, in the order of FEATURES."""
    area = random.uniform(28, 44)
    density = random.uniform(*state.density)
    speed = walking_speed(density) * random.uniform(*state.pace)
    standing = random.uniform(*state.standing)
    trend = random.uniform(*state.trend) * density * area
    hidden = min(0.3, 0.05 * density)
    counted = random.binomial(max(1, round(density * area)), 1 - hidden) / (1 - hidden)
    deviation = abs(trend) * _WINDOW_S / np.sqrt(12) + np.sqrt(counted) * random.uniform(0.15, 0.4)
    measured_speed = max(0.0, speed * (1 - 0.5 * standing) + random.normal(0, 0.05 + 0.02 * density))
    spread = abs(random.normal(0.26, 0.05)) * (0.4 + speed / FREE_SPEED) + 0.15 * standing
    order = float(np.clip(random.uniform(*state.order) + random.normal(0, 0.06), 0, 1))
    sound = 58 + 10 * np.log10(1 + counted) + random.uniform(*state.loudness) + random.normal(0, 1.5)
    return [
        counted,
        deviation,
        counted / area,
        measured_speed,
        spread,
        order,
        counted / area * measured_speed * order,
        float(np.clip(standing + random.normal(0, 0.06), 0, 1)),
        sound,
        trend + random.normal(0, 0.12 + 0.02 * counted**0.5),
    ]


def draw_rows(
    count: int, seed: int, tick: Callable[[], None] = lambda: None
) -> tuple[NDArray[np.float64], list[str]]:
    """Features [count, 10], rounded to what a device would report, and the state of each row; states take
    turns.

    `tick` is called after each.
    """
    names = list(STATES)
    rows: list[list[float]] = []
    labels: list[str] = []
    for index in range(count):
        name = names[index % len(names)]
        random = np.random.Generator(np.random.PCG64([seed, index]))
        rows.append(_observe(STATES[name], random))
        labels.append(name)
        tick()
    return np.round(np.array(rows, np.float64), 4), labels
