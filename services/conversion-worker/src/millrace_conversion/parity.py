"""Whether an ONNX model answers as its framework did, on the onnxruntime version that serves."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .convert import Converted, TensorInfo
from .errors import ConversionError
from .runtime import load
from .saved_model import run_signature

# Two orders above the rounding that float32 convolutions of this depth show (about 1e-6).
TOLERANCE_DEFAULT = 1e-4
SAMPLES_MAX = 4096
SAMPLES_BYTES_MAX = 512 << 20
"""Bytes of both arrays of the samples as they lie in memory: 800 colour images of 224 x 224 as float32."""
BATCH_ROWS = 16
RANDOM_ROWS = 8
RANDOM_DIM = 3
SAMPLES_FILE = 'samples.npz'

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Reference:
    """Inputs and the framework's answers to them; `source` says where the answers come from."""

    inputs: Arrays
    outputs: Arrays
    source: str


@dataclass(frozen=True)
class Parity:
    """Largest and mean absolute difference over all outputs of `samples` rows."""

    max_abs_diff: float
    mean_abs_diff: float
    tolerance: float
    samples: int
    reference: str
    onnxruntime_version: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in conversion.json."""
        return {
            'maxAbsDiff': self.max_abs_diff,
            'meanAbsDiff': self.mean_abs_diff,
            'tolerance': self.tolerance,
            'samples': self.samples,
            'reference': self.reference,
            'onnxruntimeVersion': self.onnxruntime_version,
        }


def open_session(data: bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU; `conversion_failed` when the runtime refuses the model."""
    ort = load('onnxruntime')
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    except Exception as error:
        raise ConversionError(
            'conversion_failed',
            f'onnxruntime {ort.__version__} refuses the converted model: {str(error)[:500]}',
        ) from error


def read_samples(path: Path, converted: Converted) -> Reference:
    """The training export's `samples.npz` (`inputs`, `outputs`), cast to the model's input type.

    `conversion_failed` when it does not fit a model of one input and one output.
    """
    if len(converted.inputs) != 1 or len(converted.outputs) != 1:
        raise ConversionError(
            'conversion_failed',
            f'{path.name} can only be checked for one input and one output; the model has '
            f'{len(converted.inputs)} and {len(converted.outputs)}.',
        )
    try:
        check_size(path, ('inputs', 'outputs'))
        with np.load(path, allow_pickle=False) as archive:
            inputs: NDArray[Any] = archive['inputs']
            outputs: NDArray[Any] = archive['outputs']
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(
            'conversion_failed', f'{path.name} has no readable arrays "inputs" and "outputs": {error}'
        ) from error
    rows = inputs.shape[0] if inputs.ndim else 0
    if not 1 <= rows <= SAMPLES_MAX or outputs.shape[:1] != (rows,):
        raise ConversionError(
            'conversion_failed',
            f'{path.name} must hold 1 to {SAMPLES_MAX} rows in both arrays; '
            f'inputs have shape {inputs.shape}, outputs {outputs.shape}.',
        )
    cast = inputs.astype(converted.inputs[0].dtype)
    return Reference({converted.inputs[0].name: cast}, {converted.outputs[0].name: outputs}, SAMPLES_FILE)


def check_size(path: Path, names: Iterable[str]) -> None:
    """Adds up what the headers of these arrays say, before numpy makes room for them; `conversion_failed`
    when it is over SAMPLES_BYTES_MAX.
    """
    total, headers = 0, cast('Any', np.lib.format)
    with zipfile.ZipFile(path) as archive:
        for name in names:
            with archive.open(f'{name}.npy') as member:
                version = headers.read_magic(member)
                read = (
                    headers.read_array_header_1_0
                    if version == (1, 0)
                    else headers.read_array_header_2_0
                )
                shape, _, dtype = read(member)
            total += math.prod(shape) * dtype.itemsize
    if total > SAMPLES_BYTES_MAX:
        raise ConversionError(
            'conversion_failed',
            f'{path.name} holds {total} bytes of samples; at most {SAMPLES_BYTES_MAX} are read. '
            'Keep fewer rows: a few dozen show a difference as well.',
        )


def ask_framework(source: Path, tag: str, signature: str, converted: Converted) -> Reference:
    """Answers of the SavedModel itself to seeded random inputs, for sources that bring no samples.

    `conversion_failed` when augmentation was stripped: the source's own answers are random then.
    """
    if converted.stripped:
        raise ConversionError(
            'conversion_failed',
            f'Augmentation was taken out ({", ".join(converted.stripped)}), so the SavedModel has no '
            f'comparable answers; add {SAMPLES_FILE} with inputs and the outputs of the model at inference.',
        )
    feeds = random_feeds(converted)
    answers = run_signature(source, tag, signature, feeds)
    return Reference(feeds, answers, f'SavedModel in TensorFlow {load("tensorflow").__version__}')


def random_feeds(converted: Converted) -> Arrays:
    """Seeded random values for every input; `conversion_failed` for types that are no numbers."""
    random = np.random.default_rng(0)
    return {info.name: _random_input(info, random) for info in converted.inputs}


def _random_input(info: TensorInfo, random: np.random.Generator) -> NDArray[Any]:
    shape = [RANDOM_DIM if size is None else size for size in info.shape]
    if info.shape and info.shape[0] is None:
        shape[0] = RANDOM_ROWS
    if info.dtype.startswith('float'):
        return random.random(shape).astype(info.dtype)
    if info.dtype.startswith(('int', 'uint', 'bool')):
        return (random.random(shape) < 0.5).astype(info.dtype)
    raise ConversionError(
        'conversion_failed', f'Input "{info.name}" has type {info.dtype}; only numbers are checked.'
    )


def measure(data: bytes, reference: Reference, tolerance: float) -> Parity:
    """Runs the samples through onnxruntime and compares; `parity_failed`, saying by how much, when over
    `tolerance`.

    `conversion_failed` when the shapes of the answers differ.
    """
    session = open_session(data)
    rows = max((len(values) for values in reference.inputs.values() if values.ndim), default=1)
    largest, total, count = 0.0, 0.0, 0
    for name, answers in _answers(session, reference, rows):
        expected = reference.outputs.get(name)
        if expected is None or expected.shape != answers.shape:
            raise ConversionError(
                'conversion_failed',
                f'Output "{name}" has shape {answers.shape}, the framework gave '
                f'{None if expected is None else expected.shape}.',
            )
        difference = np.abs(answers.astype(np.float64) - expected.astype(np.float64))
        # A NaN on either side must fail, and max() would pass over it.
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0)))
        total += float(difference.sum())
        count += difference.size
    version = str(load('onnxruntime').__version__)
    if not largest <= tolerance:
        raise ConversionError(
            'parity_failed',
            f'The ONNX model differs from the framework by up to {largest:.3g} over {rows} samples '
            f'(mean {total / max(count, 1):.3g}); the tolerance is {tolerance:.3g} on onnxruntime {version}.',
        )
    return Parity(largest, total / max(count, 1), tolerance, rows, reference.source, version)


def answers_of(session: Any, reference: Reference) -> Arrays:
    """What the model answers to the inputs of `reference`, by output; `conversion_failed` when it cannot."""
    rows = max((len(values) for values in reference.inputs.values() if values.ndim), default=1)
    return dict(_answers(session, reference, rows))


def _answers(session: Any, reference: Reference, rows: int) -> list[tuple[str, NDArray[Any]]]:
    names = [output.name for output in session.get_outputs()]
    is_batched = all(value.shape and not isinstance(value.shape[0], int) for value in session.get_inputs())
    step = BATCH_ROWS if is_batched else rows
    parts: list[list[NDArray[Any]]] = []
    try:
        for start in range(0, rows, step):
            feeds = {name: values[start : start + step] for name, values in reference.inputs.items()}
            parts.append(session.run(names, feeds))
    except Exception as error:
        raise ConversionError(
            'conversion_failed', f'onnxruntime could not run the samples: {str(error)[:500]}'
        ) from error
    if len(parts) == 1:
        return list(zip(names, parts[0], strict=True))
    return [(name, np.concatenate([part[index] for part in parts])) for index, name in enumerate(names)]
