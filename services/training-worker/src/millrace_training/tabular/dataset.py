# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# scikit-learn has no complete types.
"""The rows of a dataset version, split and standardised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from millrace_training.source import read_source

from .fit import Rows
from .split import Ratios, stratified_split
from .table import read_table


@dataclass(frozen=True)
class TabularDataset:
    """Standardised splits by the mean and scale [f] float64 of the training split; `raw_test` [n, f]
    float32 are the test rows as they came, `digest` names the rows and `generator` who made them, if that
    is known.
    """

    train: Rows
    validation: Rows
    heldout: Rows
    raw_test: NDArray[np.float32]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    digest: str
    generator: dict[str, Any] | None


def standardise(
    features: NDArray[np.floating[Any]], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Every step in float32, as devices compute it."""
    difference = features.astype(np.float32) - mean.astype(np.float32)
    return difference / scale.astype(np.float32)


def load_rows(folder: Path, ratios: Ratios, seed: int) -> TabularDataset:
    """The rows in `folder`, split by `seed`; raises `dataset_unusable` with the reason.

    A feature that never changes in the training split has the scale 1 (scikit-learn's StandardScaler).
    """
    table = read_table(folder)
    split = stratified_split(table.labels, table.classes, ratios, seed)
    scaler = StandardScaler().fit(table.features[split['train']])
    mean, scale = np.array(scaler.mean_, np.float64), np.array(scaler.scale_, np.float64)

    def part(name: str) -> Rows:
        chosen = split[name]
        return Rows(standardise(table.features[chosen], mean, scale), table.labels[chosen])

    return TabularDataset(
        part('train'),
        part('validation'),
        part('test'),
        table.features[split['test']].astype(np.float32),
        mean,
        scale,
        table.feature_names,
        table.classes,
        table.digest,
        read_source(folder),
    )
