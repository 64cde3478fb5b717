"""Trained weights to ONNX: SafeTensors with an architecture, or the layer sizes of a plain network."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import parity
from .canonical import serialise
from .convert import MODEL_FILE, Converted, tensor_infos
from .errors import ConversionError
from .graph.architecture import Architecture, read_architecture
from .graph.build import BuildOptions, build_model
from .graph.detection import detect
from .graph.layer import Tensors
from .graph.matching import match_tensors
from .safetensors_file import Tensor, read_safetensors

WEIGHTS_FILE = 'model.safetensors'
ARCHITECTURE_FILE = 'architecture.json'
LABELS_FILE = 'labels.txt'
# The definitions are asked with counts of this size; a spectrum has some thousand at its highest.
COUNTS_MEAN = 50.0
DEFINITION_ROWS = 8


@dataclass(frozen=True)
class Weights:
    """Weights that fit their architecture."""

    architecture: Architecture
    tensors: Tensors
    is_detected: bool

    @property
    def parameters(self) -> int:
        """How many numbers the graph takes over."""
        return sum(tensor.size for tensor in self.tensors.values())


@dataclass(frozen=True)
class ExportReport:
    """What an export made; `parity` compares it with the definitions of its layers."""

    converted: Converted
    weights: Weights
    nodes: int
    nodes_before_fusion: int
    fused: int
    parity: parity.Parity

    def to_json(self) -> dict[str, Any]:
        """As it stands in conversion.json."""
        graph = self.converted.model.graph
        return {
            'family': self.weights.architecture.family,
            'isDetected': self.weights.is_detected,
            'nodes': self.nodes,
            'nodesBeforeFusion': self.nodes_before_fusion,
            'fused': self.fused,
            'operators': dict(sorted(Counter(node.op_type for node in graph.node).items())),
            'parameters': self.weights.parameters,
            'initializerBytes': sum(len(tensor.raw_data) for tensor in graph.initializer),
            'bytes': len(self.converted.data),
            'sha256': hashlib.sha256(self.converted.data).hexdigest(),
            'opset': self.converted.opset,
            'irVersion': self.converted.ir_version,
            'parity': self.parity.to_json(),
        }


def read_weights(folder: Path, hidden_layers: Sequence[int] | None = None) -> Weights:
    """`model.safetensors` with `architecture.json`, or without it as a plain network.

    Raises the codes of SafeTensors files, architectures and tensors.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ConversionError('conversion_failed', f'The source has no {WEIGHTS_FILE}.')
    found = read_safetensors(path)
    stated = folder / ARCHITECTURE_FILE
    if not stated.is_file():
        return _fit(found, detect(found, hidden_layers=hidden_layers), is_detected=True)
    if hidden_layers is not None:
        raise ConversionError(
            'architecture_mismatch',
            f'The source has an {ARCHITECTURE_FILE}; hidden layers are for sources without.',
        )
    return _fit(found, read_architecture(stated), is_detected=False)


def _fit(found: dict[str, Tensor], architecture: Architecture, *, is_detected: bool) -> Weights:
    return Weights(architecture, match_tensors(architecture, found), is_detected)


def build(
    weights: Weights, options: BuildOptions, tolerance: float = parity.TOLERANCE_DEFAULT
) -> ExportReport:
    """The checked ONNX model, run once in onnxruntime and compared with the definitions of its layers.

    Raises `conversion_failed`, `invalid_architecture`, `parity_failed`.
    """
    built = build_model(weights.architecture, weights.tensors, options)
    inputs, outputs = tensor_infos(built.model)
    converted = Converted(built.model, serialise(built.model), options.opset, inputs, outputs, [])
    measured = parity.measure(converted.data, definitions(weights, converted, options.batch_size), tolerance)
    return ExportReport(
        converted, weights, len(built.model.graph.node), built.nodes_before_fusion, built.fused, measured
    )


def definitions(weights: Weights, converted: Converted, rows: int | None) -> parity.Reference:
    """Answers of the layers' definitions (float64) to seeded Poisson counts, one row of them without any."""
    rows = rows or DEFINITION_ROWS
    random = np.random.default_rng(0)
    counts = random.poisson(COUNTS_MEAN, (rows, *weights.architecture.given)).astype(np.float32)
    if rows > 1:
        counts[-1] = 0
    answers = weights.architecture.answer(counts.astype(np.float64), weights.tensors)
    return parity.Reference(
        {converted.inputs[0].name: counts}, {converted.outputs[0].name: answers}, 'definitions of the layers'
    )


def labels(architecture: Architecture) -> bytes | None:
    """`labels.txt` of the package: the classes in the order of the output, one a line."""
    classes = architecture.output.classes
    return None if classes is None else ''.join(f'{name}\n' for name in classes).encode()


def export_model_to_onnx(
    weights: Path,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    path: Path,
    hidden_layers: Sequence[int],
    options: BuildOptions | None = None,
) -> ExportReport:
    """Writes the plain network of the tensors in the SafeTensors file `weights` to `path`.

    Shapes have the batch first, such as [1, 1024] and [1, 15]; the graph takes any batch unless `options`
    fix it.
    Raises `architecture_mismatch` when the tensors make other layers, and what `build` raises.
    """
    for name, shape in (('input', input_shape), ('output', output_shape)):
        if len(shape) != 2:
            raise ConversionError(
                'architecture_mismatch',
                f'The {name} shape of a plain network is [batch, values], not {list(shape)}.',
            )
    found = read_safetensors(weights)
    architecture = detect(
        found, input_size=input_shape[1], hidden_layers=hidden_layers, output_size=output_shape[1]
    )
    return _write(_fit(found, architecture, is_detected=True), path, options)


def export_model_with_architecture(
    weights: Path, architecture: Architecture | Path, path: Path, options: BuildOptions | None = None
) -> ExportReport:
    """Writes the network that `architecture` (or the file of that name) states to `path`.

    Raises the codes of SafeTensors files, architectures and tensors, and what `build` raises.
    """
    stated = read_architecture(architecture) if isinstance(architecture, Path) else architecture
    return _write(_fit(read_safetensors(weights), stated, is_detected=False), path, options)


def _write(weights: Weights, path: Path, options: BuildOptions | None) -> ExportReport:
    report = build(weights, options or BuildOptions())
    path.parent.mkdir(parents=True, exist_ok=True)
    # a reader never sees half a file
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f'.{MODEL_FILE}-', delete=False) as draft:
        draft.write(report.converted.data)
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(path)
    return report
