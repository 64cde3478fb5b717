"""`meta.json` of a model for devices: all that is needed to feed it and to judge it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT_VERSION = '1.0.0'
META_FILE = 'meta.json'


@dataclass(frozen=True)
class Trained:
    """What a training knows of its data and model: names in order, standardisation in float64, and figures.

    `dataset_hash` is the SHA-256 of the rows that it read.
    """

    dataset_id: str
    dataset_hash: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: list[float]
    scale: list[float]
    architecture: dict[str, Any]
    evaluation: dict[str, Any]
    training: dict[str, Any]


def device_meta(trained: Trained, quantisation: dict[str, Any], digests: dict[str, str]) -> dict[str, Any]:
    """The document, in the words that devices know (snake_case)."""
    evaluation = trained.evaluation
    return {
        'version': FORMAT_VERSION,
        'timestamp': datetime.now(UTC).isoformat(),
        'dataset': {'id': trained.dataset_id, 'hash': trained.dataset_hash},
        'features': {
            'count': len(trained.feature_names),
            'names': list(trained.feature_names),
            'preprocessing': {
                'scaler_mean': trained.mean,
                'scaler_scale': trained.scale,
                'label_classes': list(trained.class_names),
            },
        },
        'labels': {
            'count': len(trained.class_names),
            'mapping': {str(index): name for index, name in enumerate(trained.class_names)},
        },
        'model': {
            'architecture': trained.architecture,
            'metrics': {
                'test_accuracy': evaluation['accuracy'],
                'test_accuracy_interval95': evaluation['interval95'],
                'precision': evaluation['precision'],
                'recall': evaluation['recall'],
                'f1': evaluation['f1'],
                'confusion_matrix': evaluation['confusion'],
            },
        },
        'quantization': quantisation,
        'training': trained.training,
        'digests': digests,
    }


def write_device_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write `meta.json`, indented, for people read it too."""
    text = json.dumps(meta, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / META_FILE).write_text(text + '\n', 'utf-8')
