"""The two JSON files that a VEID training leaves beside its model.

`metrics.json` states what a validator compares, in the names of the field and in snake case: quality,
latency, training configuration, sizes of the splits, determinism. `report.json` has baselines and curves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace_training.rounding import rounded
from millrace_training.runtime import determinism

METRICS_FILE = 'metrics.json'
REPORT_FILE = 'report.json'
LATENCY_RUNS = 200
"""Single pictures that are timed, after LATENCY_WARMUP others."""

LATENCY_WARMUP = 20


def latency_ms(answer: Callable[[NDArray[np.uint8]], Any], images: NDArray[np.uint8]) -> dict[str, float]:
    """p50, p95 and p99 of one picture at a time, in milliseconds, in this process and on its threads."""
    times: list[float] = []
    for run in range(LATENCY_WARMUP + LATENCY_RUNS):
        one = images[run % len(images)][None]
        started = time.perf_counter()
        answer(one)
        times.append((time.perf_counter() - started) * 1000)
    p50, p95, p99 = np.quantile(times[LATENCY_WARMUP:], [0.5, 0.95, 0.99]).tolist()
    return {'p50': rounded(p50, 3), 'p95': rounded(p95, 3), 'p99': rounded(p99, 3)}


def write_metrics(
    folder: Path,
    *,
    name: str,
    version: str,
    framework_version: str,
    evaluation: dict[str, Any],
    latency: dict[str, float],
    params: dict[str, Any],
    sizes: dict[str, int],
    accelerators: list[str],
) -> None:
    """Write METRICS_FILE into `folder`; `params` and `evaluation` as they stand in meta.json."""
    settings = determinism(int(params['seed']), bool(params['deterministic']), accelerators)
    metrics = {
        'model_name': name,
        'version': version,
        'training_date': datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ'),
        'framework': 'tensorflow',
        'framework_version': framework_version,
        'metrics': {
            'accuracy': evaluation['accuracy'],
            'precision': evaluation['precision'],
            'recall': evaluation['recall'],
            'f1_score': evaluation['f1'],
            'auc_roc': evaluation['rocAuc'],
        },
        'inference_latency_ms': latency,
        'training_config': {
            'epochs': params['epochs'],
            'batch_size': params['batchSize'],
            'learning_rate': params['learningRate'],
            'optimizer': 'adam',
            'seed': params['seed'],
        },
        'dataset': {
            'train_samples': sizes['train'],
            'validation_samples': sizes['validation'],
            'test_samples': sizes['heldout'],
        },
        'determinism': {
            'tf_deterministic_ops': settings['environment'].get('TF_DETERMINISTIC_OPS') == '1',
            'tf_cudnn_deterministic': settings['environment'].get('TF_CUDNN_DETERMINISTIC') == '1',
            'op_determinism': settings['opDeterminism'],
            'onednn': settings['environment'].get('TF_ENABLE_ONEDNN_OPTS') != '0',
            'python_hash_seed': settings['environment'].get('PYTHONHASHSEED'),
            'random_seed': settings['seed'],
            'cpu_only': settings['cpuOnly'],
            'intra_op_threads': settings['threads']['intra'],
            'inter_op_threads': settings['threads']['inter'],
        },
    }
    _write(folder / METRICS_FILE, metrics)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write REPORT_FILE into `folder`."""
    _write(folder / REPORT_FILE, report)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + '\n', 'utf-8')
