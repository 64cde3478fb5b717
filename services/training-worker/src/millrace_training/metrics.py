"""Statistics of an evaluation."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, JASA 1927); trials < 1 is a ValueError."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError('successes must lie in 0..trials and trials must be at least 1')
    share = successes / trials
    denominator = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / denominator
    # At 0 and at all successes the bound is the share itself, but for rounding.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))
