"""An ONNX graph of an architecture and its tensors; the same two give the same bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from onnx import ModelProto

from millrace_conversion.convert import OPSET_DEFAULT, OPSET_MAX, OPSET_MIN
from millrace_conversion.errors import ConversionError
from millrace_conversion.runtime import load

from .architecture import Architecture, emit_chain
from .emitter import BATCH_DIMENSION, Emitter
from .fusion import fuse_gemm
from .layer import Tensors

_RESERVED = ('classes', 'family', 'preprocessing')


@dataclass(frozen=True)
class BuildOptions:
    """How a graph is built; names replace the architecture's; `batch_size` None takes any batch."""

    opset: int = OPSET_DEFAULT
    input_name: str | None = None
    output_name: str | None = None
    batch_size: int | None = None
    fuse: bool = True
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Built:
    """A graph that the checker passed, and what fusion did to it."""

    model: ModelProto
    nodes_before_fusion: int
    fused: int


def build_model(architecture: Architecture, tensors: Tensors, options: BuildOptions) -> Built:
    """Preprocessing, layers, and the names and metadata that were asked for.

    Raises `conversion_failed` for an opset out of 13..18 or reserved metadata, `invalid_architecture`
    for values that would have one name.
    """
    if not OPSET_MIN <= options.opset <= OPSET_MAX:
        raise ConversionError(
            'conversion_failed', f'Opset {options.opset} is not supported; choose {OPSET_MIN}..{OPSET_MAX}.'
        )
    made = architecture.check()
    given = architecture.given
    name = options.input_name or architecture.input.name
    output = options.output_name or architecture.output.name
    graph = Emitter(options.opset)
    ready = emit_chain(graph, architecture.preprocessing, name, 'preprocessing', given, tensors)
    value = emit_chain(graph, architecture.layers, ready, 'layers', given, tensors)
    batch = BATCH_DIMENSION if options.batch_size is None else options.batch_size
    model = graph.model(
        (name, [batch, *given]), (output, [batch, *made]), value, _metadata(architecture, options.metadata)
    )
    nodes = len(model.graph.node)
    fused = fuse_gemm(model) if options.fuse else 0
    _check(model)
    return Built(model, nodes, fused)


def _metadata(architecture: Architecture, own: dict[str, str]) -> dict[str, str]:
    taken = sorted(set(own) & set(_RESERVED))
    if taken:
        raise ConversionError(
            'conversion_failed', f'The metadata {taken[0]!r} is written by the export; rename it.'
        )
    steps = [step.model_dump(by_alias=True, exclude_none=True) for step in architecture.preprocessing]
    texts = {'family': architecture.family, 'preprocessing': _json(steps)}
    if architecture.output.classes is not None:
        texts['classes'] = _json(architecture.output.classes)
    return {**own, **texts}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(',', ':'), sort_keys=True, ensure_ascii=False)


def _check(model: ModelProto) -> None:
    try:
        load('onnx.checker').check_model(model, full_check=True)
        load('onnx.shape_inference').infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ConversionError('conversion_failed', f'The ONNX checker refused the graph: {error}') from error
