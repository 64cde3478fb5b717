# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# OpenCV and NumPy ship no complete types.
"""What an evaluation states about a binary decision, and the curve over rising corruption."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millrace_training.metrics import wilson_interval
from millrace_training.rounding import rounded

CORRUPTION_LEVELS = (0, 1, 2, 3, 4)
"""Steps of `corrupt`; 0 leaves a picture as it is."""

THRESHOLD = 0.5


def roc_auc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Area under the ROC curve as the rank statistic of Mann and Whitney, ties counted half; 0.5 where a
    class is missing.
    """
    positive = int((labels > 0).sum())
    negative = len(labels) - positive
    if positive == 0 or negative == 0:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    return float((ranks[labels > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def equal_error_rate(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """The error at the threshold where false acceptances and false refusals are nearest to each other."""
    order = np.argsort(-scores, kind='stable')
    truth = labels[order] > 0
    accepted_wrong = np.cumsum(~truth) / max(1, int((~truth).sum()))
    refused_wrong = 1 - np.cumsum(truth) / max(1, int(truth.sum()))
    nearest = int(np.argmin(np.abs(accepted_wrong - refused_wrong)))
    return float((accepted_wrong[nearest] + refused_wrong[nearest]) / 2)


def binary_report(scores: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """Accuracy with its 95 % Wilson interval, precision, recall, F1, ROC AUC, confusion at THRESHOLD."""
    said, truth = scores > THRESHOLD, labels > 0
    hits, false_alarms = int((said & truth).sum()), int((said & ~truth).sum())
    misses, rejections = int((~said & truth).sum()), int((~said & ~truth).sum())
    low, high = wilson_interval(hits + rejections, len(scores))
    precision = hits / (hits + false_alarms) if hits + false_alarms else 0.0
    recall = hits / (hits + misses) if hits + misses else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        'accuracy': rounded((hits + rejections) / len(scores)),
        'interval95': [rounded(low), rounded(high)],
        'precision': rounded(precision),
        'recall': rounded(recall),
        'f1': rounded(f1),
        'rocAuc': rounded(roc_auc(scores, labels)),
        'samples': len(scores),
        'confusion': {
            'truePositive': hits,
            'falsePositive': false_alarms,
            'falseNegative': misses,
            'trueNegative': rejections,
        },
    }


def corrupt(images: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    """The pictures [..., height, width, channels], blurred and noisy by `level`; they repeat.

    Level k: Gaussian blur of 0.25 k pixels, then Gaussian noise of 4 k grey values, from a fixed stream.
    """
    if level == 0:
        return images
    rng = np.random.Generator(np.random.PCG64([0x636F7272, level]))
    flat = images.reshape(-1, *images.shape[-3:])
    changed = np.empty_like(flat)
    for index, image in enumerate(flat):
        soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.25 * level).reshape(image.shape)
        noisy = soft + np.float32(4 * level) * rng.standard_normal(image.shape, dtype=np.float32)
        changed[index] = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return changed.reshape(images.shape)
