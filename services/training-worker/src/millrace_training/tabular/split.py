"""A stratified split that follows from the seed alone, and the rows that come of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millrace_training.errors import RecipeError

SPLITS = ('train', 'validation', 'test')

MIN_ROWS_PER_CLASS = len(SPLITS)
"""One row of every class for each split."""


@dataclass(frozen=True)
class Ratios:
    """Shares of the splits; they add up to 1."""

    train: float
    validation: float
    test: float


def _shares(count: int, ratios: Ratios) -> tuple[int, int]:
    """Rows of one class for validation and test: rounded, but at least one for every split."""
    validation = max(1, round(count * ratios.validation))
    test = max(1, round(count * ratios.test))
    while count - validation - test < 1:
        if validation >= test:
            validation -= 1
        else:
            test -= 1
    return validation, test


def stratified_split(
    labels: NDArray[np.int64], classes: tuple[str, ...], ratios: Ratios, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Indices of each split, ascending; every class is cut by `ratios` after a shuffle that (seed, class)
    decides.

    Raises `dataset_unusable` when a class has fewer rows than there are splits.
    """
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for label, name in enumerate(classes):
        mine = np.flatnonzero(labels == label)
        if len(mine) < MIN_ROWS_PER_CLASS:
            raise RecipeError(
                'dataset_unusable',
                f'The class {name!r} has {len(mine)} rows; training, validation and test need one each, '
                f'so {MIN_ROWS_PER_CLASS} at least. Add rows or leave the class out.',
            )
        shuffled = mine[np.random.Generator(np.random.PCG64([seed, label])).permutation(len(mine))]
        validation, test = _shares(len(mine), ratios)
        parts['test'].append(shuffled[:test])
        parts['validation'].append(shuffled[test : test + validation])
        parts['train'].append(shuffled[test + validation :])
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}
