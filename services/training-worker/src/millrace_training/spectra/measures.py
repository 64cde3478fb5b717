"""What a classifier's probabilities are worth: accuracy by class and condition, calibration, ROC."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace_training.metrics import wilson_interval
from millrace_training.rounding import rounded

CALIBRATION_BINS = 15
ROC_POINTS = 101
"""A curve is told at this many false positive rates, evenly spaced."""

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]


def share(right: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy with its 95 % Wilson interval and the number of samples (at least one)."""
    successes, trials = int(right.sum()), len(right)
    low, high = wilson_interval(successes, trials)
    return {
        'accuracy': rounded(successes / trials),
        'interval95': [rounded(low), rounded(high)],
        'samples': trials,
    }


def confusion_matrix(said: Labels, labels: Labels, classes: int) -> list[list[int]]:
    """Counts [true class][class said]."""
    counts = np.bincount(labels * classes + said, minlength=classes * classes)
    return counts.reshape(classes, classes).tolist()


def calibration(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """Expected calibration error over CALIBRATION_BINS equal bins of confidence, and the bins (Guo et al.,
    ICML 2017): each with its count, mean confidence and accuracy.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    bins: list[dict[str, Any]] = []
    error = 0.0
    for number in range(CALIBRATION_BINS):
        chosen = index == number
        count = int(chosen.sum())
        if not count:
            continue
        mean, accuracy = float(confidence[chosen].mean()), float(right[chosen].mean())
        error += count / len(labels) * abs(mean - accuracy)
        bins.append({'count': count, 'confidence': rounded(mean), 'accuracy': rounded(accuracy)})
    return {'expectedError': rounded(error), 'bins': bins}


def roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """One class against the rest: area under the curve, and true positive rates at ROC_POINTS false
    positive rates; equal scores count half, as in the Mann-Whitney statistic. Both kinds must be there.
    """
    order = np.argsort(-scores, kind='stable')
    ranked, hits = scores[order], positive[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true = np.concatenate([[0.0], np.cumsum(hits)[ends] / hits.sum()])
    false = np.concatenate([[0.0], np.cumsum(~hits)[ends] / (~hits).sum()])
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
    points = np.interp(np.linspace(0, 1, ROC_POINTS), false, true)
    return {'area': rounded(area), 'truePositiveRates': [rounded(float(point), 4) for point in points]}


def top_k(probabilities: Probabilities, labels: Labels, k: int) -> float:
    """Share of samples whose class is among the `k` most probable ones; lower classes first among equals."""
    order = np.argsort(-probabilities, axis=1, kind='stable')[:, :k]
    return rounded(float((order == labels[:, None]).any(axis=1).mean()))


def measure(
    probabilities: Probabilities, labels: Labels, conditions: NDArray[np.str_], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Everything above for one set of samples."""
    said = probabilities.argmax(axis=1).astype(np.int64)
    right = said == labels
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    by_class: dict[str, Any] = {}
    for index, name in enumerate(classes):
        positive = labels == index
        if not positive.any():
            continue
        claimed = said == index
        entry = {
            **share(right[positive]),
            'precision': rounded(float(positive[claimed].mean())) if claimed.any() else None,
        }
        if not positive.all():
            entry['roc'] = roc(probabilities[:, index].astype(np.float64), positive)
        by_class[name] = entry
    areas = [entry['roc']['area'] for entry in by_class.values() if 'roc' in entry]
    return {
        **share(right),
        'loss': rounded(float(-np.log(np.maximum(chosen, 1e-12)).mean())),
        'top3Accuracy': top_k(probabilities, labels, 3),
        'rocAreaMean': rounded(float(np.mean(areas))) if areas else None,
        'calibration': calibration(probabilities, labels),
        'classes': list(classes),
        'confusion': confusion_matrix(said, labels, len(classes)),
        'byClass': by_class,
        'byCondition': {
            name: share(right[conditions == name]) for name in sorted(set(conditions.tolist())) if name
        },
    }
