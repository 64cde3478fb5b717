"""SavedModel to ONNX: freeze, strip augmentation, convert, canonicalise, check."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto, ValueInfoProto

from .canonical import canonicalise, serialise
from .errors import ConversionError
from .runtime import load
from .saved_model import freeze

OPSET_DEFAULT = 17
OPSET_MIN = 13
OPSET_MAX = 18
TAG_DEFAULT = 'serve'
SIGNATURE_DEFAULT = 'serving_default'
MODEL_FILE = 'model.onnx'
# tf2onnx writes the source's name into the graph; a fixed one keeps the bytes equal wherever the source lies.
GRAPH_NAME = 'model'

Progress = Callable[[str], None]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, ONNX element type (`float32`, ...) and shape (None = any length)."""

    name: str
    dtype: str
    shape: list[int | None]

    def to_json(self) -> dict[str, Any]:
        """As it stands in conversion.json."""
        return {'name': self.name, 'dtype': self.dtype, 'shape': self.shape}


@dataclass(frozen=True)
class Converted:
    """A checked ONNX model; `data` are its bytes, `stripped` the augmentation layers that were taken out."""

    model: ModelProto
    data: bytes
    opset: int
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    stripped: list[str]

    @property
    def ir_version(self) -> int:
        """Version of the file format."""
        return self.model.ir_version


def convert_saved_model(
    source: Path,
    *,
    opset: int = OPSET_DEFAULT,
    tag: str = TAG_DEFAULT,
    signature: str = SIGNATURE_DEFAULT,
    progress: Progress = lambda _stage: None,
) -> Converted:
    """Converts the SavedModel folder `source`; equal models give equal bytes, wherever they lie.

    Raises `conversion_failed` when it is no SavedModel, the tag or signature is absent, the opset is out of
    13..18, or the graph holds operations that ONNX lacks (the message names them).
    """
    _prepare(opset, progress)
    frozen = freeze(source, tag, signature)
    progress('convert')
    model = _run_tf2onnx(
        opset,
        frozen.graph_def,
        input_names=frozen.inputs,
        output_names=frozen.outputs,
        tensors_to_rename=frozen.names,
        initialized_tables=frozen.tables,
    )
    return _finish(model, opset, frozen.stripped, progress)


def convert_tfjs(
    model_json: Path, *, opset: int = OPSET_DEFAULT, progress: Progress = lambda _stage: None
) -> Converted:
    """Converts the TF.js graph model of a model.json, with the names of its signature.

    Raises `conversion_failed` as `convert_saved_model` does.
    """
    _prepare(opset, progress)
    progress('convert')
    return _finish(_run_tf2onnx(opset, None, tfjs_path=str(model_json)), opset, [], progress)


def _prepare(opset: int, progress: Progress) -> None:
    if not OPSET_MIN <= opset <= OPSET_MAX:
        raise ConversionError(
            'conversion_failed', f'Opset {opset} is not supported; choose {OPSET_MIN}..{OPSET_MAX}.'
        )
    progress('load')
    load('tf2onnx.convert')
    logging.getLogger('tf2onnx').setLevel(logging.ERROR)


def _finish(converted: ModelProto, opset: int, stripped: list[str], progress: Progress) -> Converted:
    model = canonicalise(converted, GRAPH_NAME)
    progress('check')
    _check(model)
    inputs, outputs = tensor_infos(model)
    return Converted(model, serialise(model), opset, inputs, outputs, stripped)


class _ErrorLines(logging.Handler):
    """Keeps tf2onnx's error lines: it logs what it cannot convert and goes on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _run_tf2onnx(opset: int, graph_def: Any, **settings: Any) -> ModelProto:
    convert: Any = load('tf2onnx.convert')
    tf = load('tensorflow')
    errors = _ErrorLines()
    logger = logging.getLogger('tf2onnx')
    logger.addHandler(errors)
    try:
        with tf.device('/cpu:0'):
            model, _ = convert._convert_common(graph_def, name=GRAPH_NAME, opset=opset, **settings)
    except Exception as error:
        reason = '; '.join(errors.lines) or f'{type(error).__name__}: {error}'
        raise ConversionError('conversion_failed', f'tf2onnx stopped: {reason[:1000]}') from error
    finally:
        logger.removeHandler(errors)
    if errors.lines:
        raise ConversionError(
            'conversion_failed',
            f'ONNX opset {opset} cannot express the graph: {"; ".join(errors.lines)[:1000]}',
        )
    return model


def _check(model: ModelProto) -> None:
    try:
        load('onnx.checker').check_model(model, full_check=True)
    except Exception as error:
        raise ConversionError('conversion_failed', f'The ONNX checker refused the graph: {error}') from error


def tensor_infos(model: ModelProto) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Inputs and outputs of the graph."""
    return [_tensor_info(v) for v in model.graph.input], [_tensor_info(v) for v in model.graph.output]


def _tensor_info(value: ValueInfoProto) -> TensorInfo:
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField('dim_value') else None for dim in tensor.shape.dim]
    return TensorInfo(value.name, dtype_name(tensor.elem_type), dims)


def dtype_name(elem_type: int) -> str:
    """NumPy's name of an ONNX element type, such as `float32`."""
    names = {'float': 'float32', 'double': 'float64'}
    name = str(load('onnx').TensorProto.DataType.Name(elem_type)).lower()
    return names.get(name, name)
