# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn ships no types.
"""What trivial methods reach on the same splits: chance, nearest pixels, logistic regression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millrace_training.rounding import rounded

SIDE = 16
"""Pictures are reduced to this side, and also taken at full resolution from their centre."""

MAX_ROWS = 4_000
"""More examples make these methods slower, not better."""


def shrunk(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures [n, h, w, c] at SIDE x SIDE, as rows."""
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float32)


def centre(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The middle half of each picture in each direction, at full resolution and in grey, as rows."""
    height, width = images.shape[1:3]
    cut = images[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    return cut.mean(axis=3).reshape(len(images), -1).astype(np.float32)


def _standardised(
    train: NDArray[np.float32], test: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, deviation = train.mean(axis=0), train.std(axis=0) + np.float32(1e-3)
    return (train - mean) / deviation, (test - mean) / deviation


def logistic(
    train: NDArray[np.float32], labels: NDArray[Any], test: NDArray[np.float32], truth: NDArray[Any]
) -> float:
    """Accuracy of a logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression

    rows, columns = _standardised(train[:MAX_ROWS], test)
    model = LogisticRegression(C=0.01, max_iter=200, tol=1e-3).fit(rows, labels[:MAX_ROWS])
    return rounded(float(model.score(columns, truth)))


def nearest(
    train: NDArray[np.float32], labels: NDArray[Any], test: NDArray[np.float32], truth: NDArray[Any]
) -> float:
    """Accuracy of the label of the nearest training row."""
    from sklearn.neighbors import KNeighborsClassifier

    rows, columns = _standardised(train[:MAX_ROWS], test)
    model = KNeighborsClassifier(1).fit(rows, labels[:MAX_ROWS])
    return rounded(float(model.score(columns, truth)))


def best_threshold(
    train: NDArray[Any], labels: NDArray[Any], test: NDArray[Any], truth: NDArray[Any]
) -> float:
    """Accuracy of `score > threshold`, the threshold chosen on the training rows."""
    candidates = np.quantile(train, np.linspace(0, 1, 201))
    right = [float(np.mean((train > candidate) == (labels > 0))) for candidate in candidates]
    chosen = candidates[int(np.argmax(right))]
    return rounded(float(np.mean((test > chosen) == (truth > 0))))


def chance(truth: NDArray[Any]) -> float:
    """Accuracy of always answering the commoner class."""
    share = float(np.mean(truth > 0))
    return rounded(max(share, 1 - share))


def interleaved(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Indices of at most `count` rows, spread evenly over the set."""
    return np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(np.int64)


def picture_baselines(
    train: NDArray[np.uint8], labels: NDArray[Any], heldout: NDArray[np.uint8], truth: NDArray[Any]
) -> dict[str, float]:
    """Held-out accuracy by method, on whole pictures and binary labels."""
    chosen = interleaved(labels, MAX_ROWS)
    train, labels = train[chosen], labels[chosen]
    small, cut = shrunk(train), centre(train)
    small_test, cut_test = shrunk(heldout), centre(heldout)
    return {
        'chance': chance(truth),
        'nearestPixels': nearest(small, labels, small_test, truth),
        'nearestCentrePixels': nearest(cut, labels, cut_test, truth),
        'logisticRegression': logistic(small, labels, small_test, truth),
        'logisticRegressionCentre': logistic(cut, labels, cut_test, truth),
    }
