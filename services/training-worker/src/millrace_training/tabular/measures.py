# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# scikit-learn has no complete types.
"""What a classifier of rows is worth on its test split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from millrace_training.metrics import wilson_interval
from millrace_training.rounding import rounded


def measure(said: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy with its 95 % Wilson interval; precision, recall and F1, each class weighted by its rows;
    the same of each class, and the confusion matrix [true class][class said].

    Precision of a class that is never said, and what follows from it, counts as 0.
    """
    indices = np.arange(len(classes))
    right = int((said == labels).sum())
    low, high = wilson_interval(right, len(labels))
    score: Any = precision_recall_fscore_support
    options = {'labels': indices, 'zero_division': 0}
    precision, recall, f1, rows = score(labels, said, **options)
    weighted = score(labels, said, average='weighted', **options)
    return {
        'accuracy': rounded(right / len(labels)),
        'interval95': [rounded(low), rounded(high)],
        'samples': len(labels),
        'precision': rounded(float(weighted[0])),
        'recall': rounded(float(weighted[1])),
        'f1': rounded(float(weighted[2])),
        'classes': list(classes),
        'confusion': confusion_matrix(labels, said, labels=indices).tolist(),
        'byClass': {
            name: {
                'precision': rounded(float(precision[index])),
                'recall': rounded(float(recall[index])),
                'f1': rounded(float(f1[index])),
                'samples': int(rows[index]),
            }
            for index, name in enumerate(classes)
        },
    }
