# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false, reportUntypedFunctionDecorator=false
# TensorFlow and LiteRT ship no complete types.
"""A Keras model as full int8 TensorFlow Lite, and that model run as a Raspberry Pi runs it (LiteRT).

Weights, activations, input and output are int8; calibration rows decide the ranges. Equal weights and
calibration rows give equal bytes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from millrace_training.errors import RecipeError

INPUT_NAME = 'input'
_LATENCY_RUNS = 400
_WARM_UP_RUNS = 40


@dataclass(frozen=True)
class Quantisation:
    """real = scale * (int8 - zero_point)."""

    scale: float
    zero_point: int

    def to_int8(self, values: NDArray[np.float32]) -> NDArray[np.int8]:
        """The nearest int8 of each float32, halves to even; what lies outside the range becomes its end.

        Every step is float32, as in the C source, so that a device computes the same bits.
        """
        scaled = np.rint(values.astype(np.float32) / np.float32(self.scale))
        return np.clip(scaled + np.float32(self.zero_point), -128, 127).astype(np.int8)

    def to_float(self, values: NDArray[np.int8]) -> NDArray[np.float32]:
        """The numbers that int8 stand for."""
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def to_json(self) -> dict[str, float | int]:
        """As it stands in meta.json."""
        return {'scale': self.scale, 'zero_point': self.zero_point}


@dataclass(frozen=True)
class Int8Model:
    """A TensorFlow Lite file of one input [1, features] and one output [1, classes], both int8.

    `operators` are the names of its operators in the order in which they run.
    """

    data: bytes
    input: Quantisation
    output: Quantisation
    operators: tuple[str, ...]


@contextlib.contextmanager
def captured_stderr() -> Generator[list[str], None, None]:
    """Lines that native code writes to stderr meanwhile; they are in the list after the block."""
    lines: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            sink.seek(0)
            lines += [line for line in sink.read().decode('utf-8', 'replace').splitlines() if line.strip()]


def quantise(model: Any, calibration: NDArray[np.float32]) -> Int8Model:
    """`model` (inputs [n, features] float32) as full int8, by the ranges of `calibration` [n, features].

    Raises `edge_operator_unsupported` when an operator has no int8 form.
    """
    features = calibration.shape[1]

    def answer(values: Any) -> Any:
        return model(values, training=False)

    signature = [tf.TensorSpec([1, features], tf.float32, name=INPUT_NAME)]
    serve: Any = tf.function(answer, input_signature=signature)
    # What the converter says meanwhile is for its developers.
    with captured_stderr() as said, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        try:
            data = bytes(converter.convert())
        except Exception as error:
            reason = f'{error}'.strip().splitlines()
            raise RecipeError(
                'edge_operator_unsupported',
                'TensorFlow Lite cannot express the model in int8 alone: '
                f'{(reason or said or [type(error).__name__])[0][:300]}',
            ) from error
    return read_int8(data)


def _interpreter(data: bytes) -> Any:
    # Messages of the native side are for developers of LiteRT.
    with captured_stderr():
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def read_int8(data: bytes) -> Int8Model:
    """What a TensorFlow Lite file says of itself; raises `edge_operator_unsupported` unless all of it is
    int8.
    """
    interpreter = _interpreter(data)
    sides: list[Quantisation] = []
    for [tensor] in (interpreter.get_input_details(), interpreter.get_output_details()):
        if tensor['dtype'] != np.int8:
            raise RecipeError(
                'edge_operator_unsupported',
                f'{tensor["name"]} is {np.dtype(tensor["dtype"]).name}, not int8.',
            )
        scale, zero_point = tensor['quantization']
        sides.append(Quantisation(float(scale), int(zero_point)))
    operators = tuple(
        str(entry['op_name']) for entry in interpreter._get_ops_details() if entry['op_name'] != 'DELEGATE'
    )
    return Int8Model(data, sides[0], sides[1], operators)


def run_int8(model: Int8Model, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Outputs [n, classes] of inputs [n, features], a row at a time on LiteRT as a Raspberry Pi has it."""
    interpreter = _interpreter(model.data)
    [source], [target] = interpreter.get_input_details(), interpreter.get_output_details()
    outputs: list[NDArray[np.int8]] = []
    for row in inputs:
        interpreter.set_tensor(source['index'], row[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target['index'])[0])
    return np.array(outputs, np.int8)


def latency_micros(model: Int8Model, inputs: NDArray[np.int8]) -> dict[str, float]:
    """Microseconds of one invocation on this machine's LiteRT, one thread: median and 95th percentile."""
    interpreter = _interpreter(model.data)
    [source] = interpreter.get_input_details()
    times: list[float] = []
    for run in range(_WARM_UP_RUNS + _LATENCY_RUNS):
        interpreter.set_tensor(source['index'], inputs[run % len(inputs)][None])
        started = time.perf_counter_ns()
        interpreter.invoke()
        times.append((time.perf_counter_ns() - started) / 1_000)
    kept = np.array(times[_WARM_UP_RUNS:])
    return {'p50': round(float(np.median(kept)), 2), 'p95': round(float(np.quantile(kept, 0.95)), 2)}
