"""Figures for a report."""

from __future__ import annotations

import math


def rounded(value: float, digits: int = 6) -> float:
    """A finite figure for a report; raises ValueError for NaN and infinities."""
    if not math.isfinite(value):
        raise ValueError('a report holds finite figures only')
    return round(value, digits)
