# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""A trained net for rows as files: for Keras, for serving, for conversion, and for devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from millrace_training.digests import canonical_json, sha256_file
from millrace_training.edge.device_meta import META_FILE, Trained, device_meta, write_device_meta
from millrace_training.edge.int8_model import Int8Model, quantise
from millrace_training.edge.report import EdgeReport, report_edge
from millrace_training.edge.sources import SELF_TEST_SAMPLES, DeviceInputs, write_sources
from millrace_training.export import (
    FROZEN_GRAPH,
    KERAS_FILE,
    SAMPLES_FILE,
    SAVED_MODEL,
    WEIGHTS_FILE,
    write_frozen_graph,
    write_saved_model,
)
from millrace_training.exported import Exported
from millrace_training.framework import model_weights
from millrace_training.keras_file import normalise_keras
from millrace_training.runtime import environment_digest
from millrace_training.weights import weights_digest

from .dataset import TabularDataset
from .fit import best_epoch, predict

if TYPE_CHECKING:
    from millrace_training.recipes.crowdmind import CrowdMindParams

TFLITE_FILE = 'model.tflite'
REPORT_FILE = 'report.json'
LABELS_FILE = 'labels.txt'
EDGE = 'edge'
PARITY_ROWS_MAX = 4_096
"""Test rows that travel with the model for the check after conversion; of a larger split the first ones."""


def export_network(
    served: Any,
    core: Any,
    data: TabularDataset,
    calibration: NDArray[np.float32],
    params: CrowdMindParams,
    out_dir: Path,
) -> Exported:
    """Write every form of the net into `out_dir` (made if missing) and return the digests that name it.

    `samples.npz` holds raw test rows with what the float32 and the int8 model answer, so that the graph
    that is made of the SavedModel can be held against both. Raises `edge_budget_exceeded`,
    `edge_operator_unsupported`.
    """
    edge = out_dir / EDGE
    edge.mkdir(parents=True, exist_ok=True)
    served.save(out_dir / KERAS_FILE)
    normalise_keras(out_dir / KERAS_FILE)
    served.save_weights(out_dir / WEIGHTS_FILE)
    write_frozen_graph(write_saved_model(served, out_dir / SAVED_MODEL), out_dir / FROZEN_GRAPH)
    (out_dir / LABELS_FILE).write_text(''.join(f'{name}\n' for name in data.classes), 'utf-8')
    int8 = quantise(core, calibration)
    heldout = data.heldout
    report = report_edge(
        int8, heldout.features, heldout.labels, predict(core, heldout.features), params.budget
    )
    rows = slice(PARITY_ROWS_MAX)
    np.savez(
        out_dir / SAMPLES_FILE,
        inputs=data.raw_test[rows],
        labels=heldout.labels[rows],
        outputs=predict(served, data.raw_test[rows]),
        outputs_int8=report.outputs[rows],
    )
    (edge / TFLITE_FILE).write_bytes(int8.data)
    _write_sources(edge, int8, report, data)
    figures = {
        **report.figures,
        'input': int8.input.to_json(),
        'output': int8.output.to_json(),
        'calibrationSamples': len(calibration),
    }
    (edge / REPORT_FILE).write_bytes(canonical_json(figures) + b'\n')
    weights = {
        **model_weights(core),
        'scaler/mean': data.mean.astype(np.float32),
        'scaler/scale': data.scale.astype(np.float32),
    }
    digests = {
        'frozenGraphDigest': sha256_file(out_dir / FROZEN_GRAPH),
        'tfliteDigest': sha256_file(edge / TFLITE_FILE),
    }
    names = (KERAS_FILE, FROZEN_GRAPH, WEIGHTS_FILE, SAMPLES_FILE)
    sizes = {name: (out_dir / name).stat().st_size for name in names}
    return Exported(weights_digest(weights), digests, sizes, {'edge': figures})


def _write_sources(edge: Path, int8: Int8Model, report: EdgeReport, data: TabularDataset) -> None:
    chosen = slice(SELF_TEST_SAMPLES)
    inputs = DeviceInputs(
        data.feature_names,
        data.classes,
        data.mean.astype(np.float32),
        data.scale.astype(np.float32),
        data.raw_test[chosen],
        report.micro_outputs[chosen],
        report.tolerance,
    )
    write_sources(edge, int8, report.arena.needed_bytes, inputs)


def write_edge_meta(
    core: Any, data: TabularDataset, params: CrowdMindParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `edge/meta.json` of an exported net; `result` holds `history`, `evaluation` and `datasetId`."""
    edge = out_dir / EDGE
    figures: dict[str, Any] = json.loads((edge / REPORT_FILE).read_text('utf-8'))
    history: list[dict[str, float]] = result['history']
    names = sorted(path.name for path in edge.iterdir() if path.name not in {META_FILE, REPORT_FILE})
    trained = Trained(
        dataset_id=result['datasetId'],
        dataset_hash=data.digest,
        feature_names=data.feature_names,
        class_names=data.classes,
        mean=[float(value) for value in data.mean],
        scale=[float(value) for value in data.scale],
        architecture={
            'type': 'mlp',
            'input': len(data.feature_names),
            'hidden_layers': list(params.hidden_layers),
            'dropout_rate': params.dropout_rate,
            'activation': params.activation,
            'output': len(data.classes),
            'output_activation': 'softmax',
            'parameters': int(core.count_params()),
        },
        evaluation=result['evaluation'],
        training={
            'seed': params.seed,
            'epochs_run': len(history),
            'best_epoch': best_epoch(history) + 1,
            'rows': {
                'train': len(data.train),
                'validation': len(data.validation),
                'test': len(data.heldout),
            },
            'environment_sha256': environment_digest(),
        },
    )
    quantisation = {
        'type': 'int8',
        'input_type': 'int8',
        'output_type': 'int8',
        'input': figures['input'],
        'output': figures['output'],
        'calibration_samples': figures['calibrationSamples'],
        'test_accuracy': figures['accuracy']['int8'],
        'accuracy_cost': figures['accuracyCost'],
        'agreement_with_float': figures['agreementWithFloat'],
        'model_bytes': figures['modelBytes'],
        'arena_bytes': figures['arenaBytes'],
        'operators': figures['operators'],
    }
    write_device_meta(
        edge, device_meta(trained, quantisation, {name: sha256_file(edge / name) for name in names})
    )
