"""The sources that run a model on a device: its bytes and constants as C, and programs around them.

`edge_model.h` and `edge_model.c` are made for the model; the programs in `devices/` are the same for all.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .int8_model import Int8Model

SELF_TEST_SAMPLES = 4
"""Rows with their answers that are compiled in, for a check on the device."""

_DEVICES = Path(__file__).parent / 'devices'
_BYTES_PER_LINE = 16


@dataclass(frozen=True)
class DeviceInputs:
    """What a device must know beside the model: names, standardisation (float32 each), and rows [n, f]
    float32 with the int8 outputs [n, classes] that they must give.
    """

    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    rows: NDArray[np.float32]
    outputs: NDArray[np.int8]
    tolerance: int


def _floating(value: float) -> str:
    """A float32 as C has it, exact: hexadecimal."""
    return f'{float(np.float32(value)).hex()}f'


def _text(value: str) -> str:
    """A C string of the UTF-8 bytes; octal escapes end after three digits, whatever follows."""
    plain = (
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f'\\{byte:03o}' for byte in value.encode()
    )
    return f'"{"".join(plain)}"'


def _listed(values: list[str]) -> str:
    return '{' + ', '.join(values) + '}'


def operator_calls(operators: tuple[str, ...]) -> list[str]:
    """Methods of MicroMutableOpResolver that register the operators, each once: FULLY_CONNECTED is
    AddFullyConnected.
    """
    return [
        'Add' + ''.join(part.capitalize() for part in name.split('_')) for name in dict.fromkeys(operators)
    ]


def header(model: Int8Model, arena_bytes: int, inputs: DeviceInputs) -> str:
    """`edge_model.h`."""
    calls = operator_calls(model.operators)
    samples = len(inputs.rows)
    return f"""/* Generated with the model; what changes one changes both. */
#ifndef EDGE_MODEL_H
#define EDGE_MODEL_H

#include <stdint.h>

#define EDGE_MODEL_SHA256 "{hashlib.sha256(model.data).hexdigest()}"
#define EDGE_MODEL_BYTES {len(model.data)}
#define EDGE_ARENA_BYTES {arena_bytes}
#define EDGE_FEATURES {len(inputs.feature_names)}
#define EDGE_CLASSES {len(inputs.class_names)}
#define EDGE_SAMPLES {samples}
/* Int8 steps by which kernels that round otherwise may differ from edge_sample_outputs. */
#define EDGE_SAMPLE_TOLERANCE {inputs.tolerance}
#define EDGE_INPUT_SCALE {_floating(model.input.scale)}
#define EDGE_INPUT_ZERO_POINT ({model.input.zero_point})
#define EDGE_OUTPUT_SCALE {_floating(model.output.scale)}
#define EDGE_OUTPUT_ZERO_POINT ({model.output.zero_point})
/* Operators of the model, for tflite::MicroMutableOpResolver<EDGE_OPERATORS>. */
#define EDGE_OPERATORS {len(calls)}
#define EDGE_ADD_OPERATORS(resolver) \\
  do {{ \\
{''.join(f'    (resolver).{call}(); {chr(92)}{chr(10)}' for call in calls)}  }} while (0)

#ifdef __cplusplus
extern "C" {{
#endif
extern const unsigned char edge_model_data[EDGE_MODEL_BYTES];
extern const float edge_mean[EDGE_FEATURES];
extern const float edge_scale[EDGE_FEATURES];
extern const char *const edge_feature_names[EDGE_FEATURES];
extern const char *const edge_class_names[EDGE_CLASSES];
/* Rows of the test split and what the model answers. */
extern const float edge_sample_features[EDGE_SAMPLES][EDGE_FEATURES];
extern const int8_t edge_sample_outputs[EDGE_SAMPLES][EDGE_CLASSES];
#ifdef __cplusplus
}}
#endif

#endif
"""


def definitions(model: Int8Model, inputs: DeviceInputs) -> str:
    """`edge_model.c`."""
    data = [f'0x{byte:02x}' for byte in model.data]
    lines = [
        '  ' + ', '.join(data[start : start + _BYTES_PER_LINE]) + ','
        for start in range(0, len(data), _BYTES_PER_LINE)
    ]
    rows = _listed([_listed([_floating(value) for value in row]) for row in inputs.rows.tolist()])
    outputs = _listed([_listed([str(value) for value in row]) for row in inputs.outputs.tolist()])
    return '\n'.join(
        [
            '/* Generated with the model; what changes one changes both. */',
            '#include "edge_model.h"',
            '',
            '#if defined(_MSC_VER)',
            '__declspec(align(16))',
            '#else',
            '__attribute__((aligned(16)))',
            '#endif',
            'const unsigned char edge_model_data[EDGE_MODEL_BYTES] = {',
            *lines,
            '};',
            f'const float edge_mean[EDGE_FEATURES] = {_listed([_floating(v) for v in inputs.mean])};',
            f'const float edge_scale[EDGE_FEATURES] = {_listed([_floating(v) for v in inputs.scale])};',
            'const char *const edge_feature_names[EDGE_FEATURES] = '
            f'{_listed([_text(name) for name in inputs.feature_names])};',
            'const char *const edge_class_names[EDGE_CLASSES] = '
            f'{_listed([_text(name) for name in inputs.class_names])};',
            f'const float edge_sample_features[EDGE_SAMPLES][EDGE_FEATURES] = {rows};',
            f'const int8_t edge_sample_outputs[EDGE_SAMPLES][EDGE_CLASSES] = {outputs};',
            '',
        ]
    )


def write_sources(folder: Path, model: Int8Model, arena_bytes: int, inputs: DeviceInputs) -> None:
    """Write the model's C files and the programs for devices into `folder`; equal models give equal bytes."""
    (folder / 'edge_model.h').write_text(header(model, arena_bytes, inputs), 'utf-8')
    (folder / 'edge_model.c').write_text(definitions(model, inputs), 'utf-8')
    for source in sorted(_DEVICES.iterdir()):
        if source.suffix in {'.h', '.c', '.cc', '.cpp', '.py'}:
            shutil.copyfile(source, folder / source.name)
