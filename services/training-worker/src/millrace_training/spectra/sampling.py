"""The order in which an epoch sees its samples; it follows from (seed, epoch) alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal['shuffled', 'stratified', 'balanced']
"""`shuffled`: any order; `stratified`: every batch has the classes in their shares; `balanced`: the same with
samples of rare classes repeated until each class has as many as the largest.
"""

_ORDER = 11
"""Keeps these random numbers apart from others of the same seed."""


def epoch_order(labels: NDArray[np.int64], sampling: Sampling, seed: int, epoch: int) -> NDArray[np.int64]:
    """Indices of the samples in the order of epoch `epoch`, from 0."""
    random = np.random.Generator(np.random.PCG64([_ORDER, seed, epoch]))
    if sampling == 'shuffled':
        return random.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    most = int(counts.max())
    chosen: list[NDArray[np.int64]] = []
    places: list[NDArray[np.float64]] = []
    for label in classes:
        rows = random.permutation(np.flatnonzero(labels == label))
        if sampling == 'balanced':
            rows = np.concatenate([random.permutation(rows) for _ in range(-(-most // len(rows)))])[:most]
        # Each class spread evenly over the epoch, from a random offset.
        chosen.append(rows)
        places.append((np.arange(len(rows)) + random.uniform()) / len(rows))
    rows, place = np.concatenate(chosen), np.concatenate(places)
    tie = random.permutation(len(rows))
    return rows[np.lexsort((tie, place))]
