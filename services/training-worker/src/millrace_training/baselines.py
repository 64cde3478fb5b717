# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn ships no types.
"""What a linear model reaches on a dataset: the proof that its classes differ neither in content nor in size.

`python -m millrace_training.baselines DATASET` prints the table. A linear model that did well would mean that
the dataset gives its labels away, and the CNN's figure would say nothing about traces.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .data.dataset import load_dataset
from .data.images import ImageSet

LIMIT = 0.6
"""Each baseline must stay under this held-out accuracy."""

Features = NDArray[np.float32]


def _shrunk(side: int) -> Callable[[ImageSet, NDArray[np.uint8]], Features]:
    def features(_images: ImageSet, pixels: NDArray[np.uint8]) -> Features:
        small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in pixels]
        return np.stack(small).reshape(len(small), -1).astype(np.float32)

    return features


def _crop(_images: ImageSet, pixels: NDArray[np.uint8]) -> Features:
    return pixels[:, 88:136, 88:136].mean(axis=3).reshape(len(pixels), -1).astype(np.float32)


def _every_fourth(_images: ImageSet, pixels: NDArray[np.uint8]) -> Features:
    return pixels[:, ::4, ::4, 1].reshape(len(pixels), -1).astype(np.float32)


def _statistics(_images: ImageSet, pixels: NDArray[np.uint8]) -> Features:
    return np.concatenate([pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2))], axis=1).astype(np.float32)


def _file_size(images: ImageSet, _pixels: NDArray[np.uint8]) -> Features:
    return np.log([[len(data)] for data in images.encoded]).astype(np.float32)


BASELINES: dict[str, Callable[[ImageSet, NDArray[np.uint8]], Features]] = {
    'pixels at 16 x 16': _shrunk(16),
    'pixels at 32 x 32': _shrunk(32),
    'raw pixels, 48 x 48 centre': _crop,
    'raw pixels, every fourth': _every_fourth,
    'channel means and deviations': _statistics,
    'file size': _file_size,
}
"""Features by name; a logistic regression is fitted to each."""


def linear_baselines(folder: Path, samples: int) -> dict[str, float]:
    """Held-out accuracy of a logistic regression on each of BASELINES, trained on at most `samples`
    images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_dataset(folder, samples)
    train, heldout = data.train.pixels(), data.heldout.pixels()
    scores: dict[str, float] = {}
    for name, features in BASELINES.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200, tol=1e-3))
        model.fit(features(data.train, train), data.train.labels)
        scores[name] = float(model.score(features(data.heldout, heldout), data.heldout.labels))
    return scores


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if a baseline reaches LIMIT."""
    parser = argparse.ArgumentParser(prog='millrace_training.baselines')
    parser.add_argument('dataset', type=Path)
    parser.add_argument('--samples', type=int, default=1_000)
    options = parser.parse_args(arguments)
    scores = linear_baselines(options.dataset, options.samples)
    for name, score in scores.items():
        sys.stdout.write(f'{score:6.1%}  {name}\n')
    return 0 if max(scores.values()) < LIMIT else 1


if __name__ == '__main__':
    sys.exit(main())
