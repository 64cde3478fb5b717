"""A float32 model as int8 or float16, by onnxruntime's own tools, with what that costs and gains."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from . import parity
from .calibration import Rows, unusable
from .canonical import serialise
from .convert import Converted, TensorInfo, tensor_infos
from .errors import ConversionError
from .latency import latency_ms_p50
from .runtime import load

Mode = Literal['int8_dynamic', 'int8_static', 'float16']
AGREEMENT_MIN_DEFAULT = 0.95
OPERATORS = ['MatMul', 'Gemm', 'Conv']
# Raw counts and their logarithms need the range and digits of float32.
PREPROCESSING_PLACE = 'preprocessing.'
# Rows that a model of any batch answers at once.
BATCH_ROWS = 64


@dataclass(frozen=True)
class Quantised:
    """A quantised model and its report."""

    converted: Converted
    report: dict[str, Any]


def quantise(
    converted: Converted,
    mode: Mode,
    rows: Rows | None,
    reference: parity.Reference,
    agreement_min: float | None,
) -> Quantised:
    """The model in `mode`, compared with the float32 one on half of `rows`, or on `reference` without them.

    `int8_static` takes its ranges from the other half. Equal model and rows give equal bytes. Raises
    `calibration_unusable` without rows for `int8_static`, `quantization_failed` when nothing could be
    quantised, when onnxruntime refuses the result, or when the models decide alike on less than
    `agreement_min` of the rows (0.95; without rows of its own a model is held to that only when asked for).
    """
    ranges, compared = (None, None) if rows is None else rows.halves()
    if mode == 'int8_static' and ranges is None:
        raise unusable('there are none; name files of a dataset version, or send samples.npz with the source')
    model = _run(converted, mode, ranges if mode == 'int8_static' else None)
    inputs, outputs = tensor_infos(model)
    made = Converted(model, serialise(model), converted.opset, inputs, outputs, converted.stripped)
    feeds = reference.inputs if compared is None else {converted.inputs[0].name: compared.inputs}
    report = _compare(converted, made, feeds, None if compared is None else compared.truth)
    wanted = agreement_min if agreement_min is not None else None if rows is None else AGREEMENT_MIN_DEFAULT
    if wanted is not None and report['agreement'] is not None and report['agreement'] < wanted:
        raise ConversionError(
            'quantization_failed',
            f'As {mode} the model decides as before on {report["agreement"]:.1%} of {report["rows"]} rows; '
            f'{wanted:.1%} are asked for.',
        )
    return Quantised(
        made,
        {
            'mode': mode,
            'agreementMin': wanted,
            'calibrationRows': len(ranges) if mode == 'int8_static' and ranges is not None else 0,
            'samples': reference.source if rows is None else rows.source,
            **report,
        },
    )


def _run(converted: Converted, mode: Mode, ranges: NDArray[np.float32] | None) -> ModelProto:
    before = ModelProto.FromString(converted.data)
    try:
        with _quiet():
            made = _float16(before) if mode == 'float16' else _int8(before, converted.inputs[0], ranges)
        made = ModelProto.FromString(made.SerializeToString())
        _tidy(made, converted)
        load('onnx.checker').check_model(made, full_check=True)
    except Exception as error:
        raise ConversionError(
            'quantization_failed',
            f'The model cannot be made {mode}: {type(error).__name__}: {str(error)[:500]}',
        ) from error
    if Counter(node.op_type for node in made.graph.node) == Counter(
        node.op_type for node in before.graph.node
    ):
        raise ConversionError(
            'quantization_failed',
            f'The model has no {", ".join(OPERATORS)} with constant weights to make {mode}.',
        )
    return made


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Keeps the tools' advice on preparing models out of the log."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _float16(model: ModelProto) -> ModelProto:
    kept = [node.name for node in model.graph.node if node.name.startswith(PREPROCESSING_PLACE)]
    tool = load('onnxruntime.transformers.float16')
    made = tool.convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _skip_round_trips(made)
    sorter = load('onnxruntime.quantization.onnx_model').ONNXModel(made)
    sorter.topological_sort()
    return sorter.model


def _skip_round_trips(model: ModelProto) -> None:
    """Rewires what is cast to float16 and straight back, so that kept nodes get every digit; in place."""
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == 'Cast'}

    def target(node: NodeProto) -> int:
        return next(attribute.i for attribute in node.attribute if attribute.name == 'to')

    direct: dict[str, str] = {}
    for name, node in casts.items():
        before = casts.get(node.input[0])
        if before is None or target(node) != TensorProto.FLOAT or target(before) != TensorProto.FLOAT16:
            continue
        direct[name] = before.input[0]
    for node in model.graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
    read = {name for node in model.graph.node for name in node.input}
    read.update(value.name for value in model.graph.output)
    unread = [node for node in model.graph.node if node.op_type == 'Cast' and node.output[0] not in read]
    for node in unread:
        model.graph.node.remove(node)


def _int8(model: ModelProto, info: TensorInfo, ranges: NDArray[np.float32] | None) -> ModelProto:
    tool = load('onnxruntime.quantization')
    constants = {tensor.name for tensor in model.graph.initializer}
    excluded = [
        node.name
        for node in model.graph.node
        if node.name.startswith(PREPROCESSING_PLACE)
        or (node.op_type in OPERATORS and node.input[1] not in constants)
    ]
    with tempfile.TemporaryDirectory(prefix='millrace-quantise-') as folder:
        source, target = Path(folder) / 'float.onnx', Path(folder) / 'int8.onnx'
        source.write_bytes(model.SerializeToString(deterministic=True))
        settings: dict[str, Any] = {
            'op_types_to_quantize': OPERATORS,
            'nodes_to_exclude': excluded,
            'per_channel': True,
            'weight_type': tool.QuantType.QInt8,
        }
        if ranges is None:
            tool.quantize_dynamic(str(source), str(target), **settings)
        else:
            tool.quantize_static(
                str(source),
                str(target),
                _reader(info, ranges),
                quant_format=tool.QuantFormat.QDQ,
                activation_type=tool.QuantType.QUInt8,
                **settings,
            )
        return ModelProto.FromString(target.read_bytes())


def _reader(info: TensorInfo, ranges: NDArray[np.float32]) -> Any:
    """The rows one by one, or batch by batch where the model has a fixed one, as onnxruntime wants them."""
    batches = _batches(ranges, info, 1)

    class Reader(load('onnxruntime.quantization').CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[NDArray[np.float32]] = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            row = next(self._left, None)
            return None if row is None else {info.name: row}

    return Reader()


def _tidy(model: ModelProto, before: Converted) -> None:
    """The metadata of the float32 model, and nothing of the tools'."""
    model.producer_name, model.producer_version, model.doc_string = before.model.producer_name, '', ''
    model.ir_version = before.ir_version
    model.graph.name = before.model.graph.name
    del model.metadata_props[:]
    model.metadata_props.extend(before.model.metadata_props)
    del model.graph.value_info[:]


def _compare(
    before: Converted, after: Converted, feeds: parity.Arrays, truth: NDArray[np.int64] | None
) -> dict[str, Any]:
    answers = [_first_output(one, feeds) for one in (before, after)]
    difference = np.abs(answers[0].astype(np.float64) - answers[1].astype(np.float64))
    decisions = [_decisions(one) for one in answers]
    is_deciding = decisions[0] is not None and decisions[1] is not None
    known = None if truth is None else truth[: len(answers[0])]
    accuracies = [
        None if known is None or one is None else _share(one == known, known >= 0) for one in decisions
    ]
    latencies = [latency_ms_p50(one.data, feeds) for one in (before, after)]
    return {
        'rows': len(answers[0]),
        'agreement': _share(decisions[0] == decisions[1]) if is_deciding else None,
        'maxAbsDiff': float(difference.max(initial=0)),
        'meanAbsDiff': float(difference.mean()),
        'accuracy': {'float32': accuracies[0], 'quantised': accuracies[1]},
        'bytes': {'float32': len(before.data), 'quantised': len(after.data)},
        'latencyMsP50': {'float32': latencies[0], 'quantised': latencies[1]},
        'operators': dict(sorted(Counter(node.op_type for node in after.model.graph.node).items())),
    }


def _first_output(converted: Converted, feeds: parity.Arrays) -> NDArray[Any]:
    info = converted.inputs[0]
    name = converted.outputs[0].name
    try:
        session = parity.open_session(converted.data)
        parts = (
            [{info.name: rows} for rows in _batches(feeds[info.name], info, BATCH_ROWS)]
            if len(converted.inputs) == 1
            else [feeds]
        )
        answers = np.concatenate([np.asarray(session.run([name], part)[0]) for part in parts])
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(
            'quantization_failed', f'onnxruntime cannot run it: {str(error)[:500]}'
        ) from error
    if not np.isfinite(answers).all():
        raise ConversionError('quantization_failed', 'The model answers NaN or Infinity in this mode.')
    return answers


def _batches(rows: NDArray[Any], info: TensorInfo, size: int) -> list[NDArray[Any]]:
    """Pieces of `size` rows, or of the model's own batch; what does not fill one of those is left out."""
    own = info.shape[0] if info.shape else None
    if own is None:
        return [rows[at : at + size] for at in range(0, len(rows), size)]
    if len(rows) < own:
        raise unusable(f'{len(rows)} rows do not fill a batch of {own}')
    return [rows[at : at + own] for at in range(0, len(rows) - own + 1, own)]


def _decisions(answers: NDArray[Any]) -> NDArray[Any] | None:
    """The class of each row: the largest of several values, or a probability over one half."""
    if answers.ndim != 2:
        return None
    if answers.shape[1] > 1:
        return answers.argmax(1)
    is_probability = bool(((answers >= 0) & (answers <= 1)).all())
    return (answers[:, 0] > 0.5).astype(np.int64) if is_probability else None


def _share(hits: Any, among: Any = None) -> float | None:
    counted = np.asarray(hits if among is None else hits[among], np.float64)
    return float(counted.mean()) if counted.size else None
