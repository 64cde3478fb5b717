"""Models for devices: quantisation, the arena, the C sources and the runner for Raspberry Pi."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_training.edge.budget import EdgeBudget, assert_within
from millrace_training.edge.int8_model import Int8Model, Quantisation, quantise, read_int8, run_int8
from millrace_training.edge.micro import ARENA_ALIGNMENT, measure_arena, run_micro
from millrace_training.edge.sources import DeviceInputs, operator_calls, write_sources
from millrace_training.errors import RecipeError

FEATURES, CLASSES = 5, 3
NAMES = tuple(f'f{index}' for index in range(FEATURES))
LABELS = ('quiet', 'say "hé?"', 'loud')


@pytest.fixture(scope='module')
def rows() -> Any:
    return np.random.default_rng(1).normal(3, 2, (64, FEATURES)).astype(np.float32)


@pytest.fixture(scope='module')
def model(rows: Any) -> Int8Model:
    keras.utils.set_random_seed(2)
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            layers.Dense(16, activation='relu'),
            layers.Dense(CLASSES, activation='softmax'),
        ]
    )
    return quantise(net, _standard(rows))


MEAN = np.full(FEATURES, 3, np.float32)
SCALE = np.linspace(1.5, 2.5, FEATURES, dtype=np.float32)


def _standard(rows: Any) -> Any:
    return (rows - MEAN) / SCALE


@given(
    st.floats(2**-20, 2**10, width=32),
    st.integers(-128, 127),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
)
def test_quantised_numbers_are_the_nearest_in_range(scale: float, zero: int, values: list[float]) -> None:
    given_values = np.array(values, np.float32)
    side = Quantisation(scale, zero)
    found = side.to_int8(given_values)
    again = side.to_float(found).astype(np.float64)
    inside = (found > -128) & (found < 127)
    # Half a step, and what float32 loses on the way.
    slack = scale / 2 + 1e-6 * np.abs(given_values[inside])
    assert (np.abs(again[inside] - given_values[inside]) <= slack).all()
    assert (np.diff(side.to_int8(np.sort(given_values)).astype(int)) >= 0).all()


def test_the_arena_is_the_smallest_in_which_the_model_runs(model: Int8Model, rows: Any) -> None:
    arena = measure_arena(model, FEATURES)
    inputs = model.input.to_int8(_standard(rows))
    assert arena.needed_bytes % ARENA_ALIGNMENT == 0
    assert 0 < arena.recorded_bytes <= arena.needed_bytes
    outputs = run_micro(model, inputs, arena.needed_bytes)
    with pytest.raises(RuntimeError):
        run_micro(model, inputs, arena.needed_bytes - 2 * ARENA_ALIGNMENT)
    # The two runtimes round differently now and then; what they say is the same.
    desktop = run_int8(model, inputs)
    assert (outputs == desktop).mean() > 0.9
    assert (outputs.argmax(axis=1) == desktop.argmax(axis=1)).mean() > 0.95


def test_equal_weights_and_rows_give_equal_bytes(rows: Any) -> None:
    keras.utils.set_random_seed(4)
    net = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation='softmax')])
    assert quantise(net, _standard(rows)).data == quantise(net, _standard(rows)).data


def test_a_model_that_is_not_int8_is_refused() -> None:
    import tensorflow as tf

    net = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)])
    function = tf.function(lambda x: net(x)).get_concrete_function(tf.TensorSpec([1, FEATURES], tf.float32))
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function)
    data = bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    with pytest.raises(RecipeError, match='is float32, not int8') as caught:
        read_int8(data)
    assert caught.value.code == 'edge_operator_unsupported'


def test_a_budget_names_every_bound_that_is_broken_and_by_how_much() -> None:
    costs = {'model_bytes': 5_000, 'arena_bytes': 2_000, 'latency_micros': 12.5, 'accuracy_cost': 0.02}
    assert_within(None, costs)
    roomy = EdgeBudget(model_bytes=5_000, arena_bytes=None, latency_micros=None, accuracy_cost=None)
    assert_within(roomy, costs)
    tight = EdgeBudget(model_bytes=4_000, arena_bytes=1_999, latency_micros=100, accuracy_cost=0.01)
    with pytest.raises(RecipeError) as caught:
        assert_within(tight, costs)
    assert caught.value.code == 'edge_budget_exceeded'
    assert caught.value.message == (
        'model.tflite has 5000 bytes, 1000 over the budget of 4000. '
        'The arena needs 2000 bytes, 1 over the budget of 1999. '
        'Quantisation costs 0.02 of the accuracy, 0.01 over the budget of 0.01.'
    )


def test_operators_are_registered_once_by_the_names_of_the_resolver() -> None:
    names = ('FULLY_CONNECTED', 'LOGISTIC', 'FULLY_CONNECTED', 'MUL', 'SOFTMAX')
    assert operator_calls(names) == ['AddFullyConnected', 'AddLogistic', 'AddMul', 'AddSoftmax']


def _sources(folder: Path, model: Int8Model, rows: Any) -> Any:
    answers = run_int8(model, model.input.to_int8(_standard(rows)))
    inputs = DeviceInputs(NAMES, LABELS, MEAN, SCALE, rows[:4], answers[:4], 2)
    write_sources(folder, model, measure_arena(model, FEATURES).needed_bytes, inputs)
    return answers


PROGRAM = r"""
#include <stdio.h>
#include "edge_preprocess.h"
int main(void) {
  float row[EDGE_FEATURES];
  int8_t input[EDGE_FEATURES];
  fwrite(edge_model_data, 1, EDGE_MODEL_BYTES, stderr);
  printf("%s|%s\n", edge_feature_names[0], edge_class_names[1]);
  while (fread(row, sizeof row, 1, stdin) == 1) {
    edge_quantise(row, input);
    for (int i = 0; i < EDGE_FEATURES; ++i) printf("%d ", input[i]);
    printf("\n");
  }
  for (int s = 0; s < EDGE_SAMPLES; ++s)
    printf("%d %.9g\n", edge_class(edge_sample_outputs[s]), edge_probability(edge_sample_outputs[s], 0));
  return 0;
}
"""


def test_c_sources_compile_and_compute_the_same_bits(model: Int8Model, rows: Any, tmp_path: Path) -> None:
    answers = _sources(tmp_path, model, rows)
    compiler = shutil.which('cc') or shutil.which('gcc')
    assert compiler, 'this test needs a C compiler (Debian: apt-get install gcc)'
    (tmp_path / 'main.c').write_text(PROGRAM)
    program = tmp_path / 'program'
    flags = ['-std=c99', '-Wall', '-Wextra', '-Werror', '-pedantic', '-O2']
    sources = [str(tmp_path / 'main.c'), str(tmp_path / 'edge_model.c')]
    subprocess.run([compiler, *flags, *sources, '-o', str(program), '-lm'], check=True)
    # The programs for devices are C++, and include the same headers.
    as_cpp = ['-x', 'c++', '-std=c++17', '-fsyntax-only', *flags[1:]]
    subprocess.run([compiler, *as_cpp, str(tmp_path / 'edge_preprocess.h')], check=True)
    # What is far outside the range, and what is no number, must not overflow.
    strange = np.array([[1e30, -1e30, np.inf, -np.inf, np.nan]], np.float32)
    fed = np.concatenate([rows, strange])
    ran = subprocess.run([program], input=fed.tobytes(), capture_output=True, check=True)
    assert ran.stderr == model.data
    first, *lines = ran.stdout.decode().splitlines()
    assert first == f'f0|{LABELS[1]}'
    quantised = [[int(text) for text in line.split()] for line in lines[: len(rows)]]
    assert quantised == model.input.to_int8(_standard(rows)).tolist()
    assert lines[len(rows)] == '127 -128 127 -128 -128 '
    said = [line.split() for line in lines[len(rows) + 1 :]]
    assert [int(label) for label, _ in said] == answers[:4].argmax(axis=1).tolist()
    probabilities = model.output.to_float(answers[:4])[:, 0].tolist()
    assert [float(value) for _, value in said] == pytest.approx(probabilities, abs=1e-7)


def test_equal_models_give_equal_sources(model: Int8Model, rows: Any, tmp_path: Path) -> None:
    for name in ('one', 'other'):
        (tmp_path / name).mkdir()
        _sources(tmp_path / name, model, rows)
    names = sorted(path.name for path in (tmp_path / 'one').iterdir())
    assert {'edge_model.c', 'edge_model.h', 'esp32s3_main.cc', 'qt_classifier.cpp'} <= {*names}
    for name in names:
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'other' / name).read_bytes()


def test_the_runner_for_raspberry_pi_answers_as_the_model(
    model: Int8Model, rows: Any, tmp_path: Path
) -> None:
    import hashlib

    answers = _sources(tmp_path, model, rows)
    (tmp_path / 'model.tflite').write_bytes(model.data)
    meta = {
        'digests': {'model.tflite': hashlib.sha256(model.data).hexdigest()},
        'features': {
            'names': NAMES,
            'preprocessing': {'scaler_mean': MEAN.tolist(), 'scaler_scale': SCALE.tolist()},
        },
        'labels': {'mapping': {str(index): name for index, name in enumerate(LABELS)}},
        'quantization': {'input': model.input.to_json(), 'output': model.output.to_json()},
    }
    (tmp_path / 'meta.json').write_text(json.dumps(meta))
    # Columns in another order, with one that means nothing.
    order = [3, 0, 4, 1, 2]
    lines = [','.join([*(NAMES[index] for index in order), 'note'])]
    lines += [','.join([*(repr(float(row[index])) for index in order), 'x']) for row in rows]

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(tmp_path / 'raspberry_pi.py'), str(tmp_path)],
            input=text,
            capture_output=True,
            text=True,
        )

    ran = run('\n'.join(lines) + '\n')
    assert ran.returncode == 0, ran.stderr
    said = [line.rpartition(',')[0] for line in ran.stdout.splitlines()]
    assert said == [LABELS[index] for index in answers.argmax(axis=1)]
    lacking = run('f0,f1\n1,2\n')
    assert (lacking.returncode, 'lacks the columns f2, f3, f4' in lacking.stderr) == (1, True)
    (tmp_path / 'model.tflite').write_bytes(model.data + b'\0')
    assert run('').returncode == 1
