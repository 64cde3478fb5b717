# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Which rows train, validate and test: by the digest of the row and a seed, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from .hashing import Digests, mix

SPLITS = ('train', 'validation', 'test')
DROPPED = 255

Assignment = np.ndarray[Any, np.dtype[np.uint8]]


def split_rows(
    digests: Digests,
    codes: np.ndarray[Any, Any] | None,
    kept: np.ndarray[Any, Any],
    seed: int,
    validation: float,
    test: float,
) -> Assignment:
    """The number of each row's split, DROPPED for those that are not kept.

    Rows are taken in the order of a digest of their content and the seed, so the order of the files means
    nothing and equal rows stay in one split, where they cannot leak from training into the test.
    """
    assignment: Assignment = np.full(len(digests), DROPPED, dtype=np.uint8)
    keys = mix(digests ^ mix(np.array([seed], dtype=np.uint64)))
    groups = np.zeros(len(digests), dtype=np.int32) if codes is None else codes
    places = np.flatnonzero(kept)
    order = places[np.lexsort((places, keys[places], groups[places]))]
    bounds = np.flatnonzero(np.diff(groups[order])) + 1
    for group in np.split(order, bounds):
        ordered = keys[group]
        first = _whole(ordered, round(len(group) * test))
        second = max(first, _whole(ordered, first + round(len(group) * validation)))
        assignment[group[:first]] = SPLITS.index('test')
        assignment[group[first:second]] = SPLITS.index('validation')
        assignment[group[second:]] = SPLITS.index('train')
    return assignment


def _whole(keys: Digests, place: int) -> int:
    """The next place at which no two equal rows are parted; a class of one row trains."""
    place = min(place, len(keys) - 1)
    while 0 < place < len(keys) and keys[place] == keys[place - 1]:
        place += 1
    return place
