"""What a training leaves behind: names, digests and answers that agree in every form of the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import HELDOUT, PARAMS, Recorder, Trained
from millrace_training.digests import list_files, sha256_file
from millrace_training.export import (
    FROZEN_GRAPH,
    Samples,
    export_model,
    export_onnx,
    strip_augmentation,
)
from millrace_training.framework import model_weights
from millrace_training.runtime import code_digest, environment_digest, machine_class
from millrace_training.weights import weights_digest

_SERVED_OPS = {
    'Placeholder', 'Const', 'Identity', 'Mul', 'AddV2', 'Sub', 'AvgPool', 'Conv2D', 'BiasAdd', 'Relu', 'Mean',
    'MatMul', 'Sigmoid', 'Reshape', 'Squeeze', 'NoOp',
}  # fmt: skip


def _samples(out: Path) -> dict[str, Any]:
    with np.load(out / 'samples.npz', allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _run_frozen(path: Path, images: Any) -> Any:
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=''), [])
    graph = wrapped.graph
    return wrapped.prune(graph.get_tensor_by_name('input:0'), graph.get_tensor_by_name('output_0:0'))(
        tf.constant(images)
    )


def test_the_result_names_its_files(trained: Trained) -> None:
    assert trained.files == list_files(trained.out)
    names = {entry['path'] for entry in trained.files}
    assert names >= {
        'model.keras',
        'model.weights.h5',
        'frozen_graph.pb',
        'saved_model/saved_model.pb',
        'saved_model/variables/variables.index',
        'meta.json',
        'samples.npz',
        'examples.json',
        'examples.u8',
    }


def test_samples_hold_both_classes_and_sources_in_turn(trained: Trained) -> None:
    samples = _samples(trained.out)
    assert samples['inputs'].shape == (HELDOUT, 224, 224, 3)
    assert samples['inputs'].dtype == np.uint8
    assert samples['outputs'].shape == (HELDOUT, 1)
    assert samples['outputs'].dtype == np.float32
    first = {(str(s), int(n)) for s, n in zip(samples['sources'][:4], samples['labels'][:4], strict=True)}
    assert first == {('photograph', 0), ('photograph', 1), ('scene', 0), ('scene', 1)}
    index = json.loads((trained.out / 'examples.json').read_text())
    pixels = np.frombuffer((trained.out / index['pixels']).read_bytes(), index['dtype']).reshape(
        index['shape']
    )
    np.testing.assert_array_equal(pixels, samples['inputs'][:12])
    assert [example['label'] for example in index['examples']] == samples['labels'][:12].tolist()


def test_every_form_of_the_model_answers_alike(trained: Trained) -> None:
    samples = _samples(trained.out)
    images = tf.constant(samples['inputs'], tf.float32)
    loaded = keras.models.load_model(trained.out / 'model.keras')
    assert loaded is not None
    np.testing.assert_allclose(loaded(images), samples['outputs'], atol=1e-6)
    served = tf.saved_model.load(str(trained.out / 'saved_model')).signatures['serving_default']
    [[name, spec]] = served.structured_input_signature[1].items()
    assert (name, spec.shape.as_list(), spec.dtype) == ('input', [None, 224, 224, 3], tf.float32)
    answer = served(input=images)
    assert {key: value.shape.as_list() for key, value in answer.items()} == {'output_0': [HELDOUT, 1]}
    np.testing.assert_allclose(answer['output_0'], samples['outputs'], atol=1e-6)
    np.testing.assert_allclose(_run_frozen(trained.out / FROZEN_GRAPH, images), samples['outputs'], atol=1e-6)


def test_the_frozen_graph_is_small_and_free_of_augmentation(trained: Trained) -> None:
    data = (trained.out / FROZEN_GRAPH).read_bytes()
    graph = tf.compat.v1.GraphDef.FromString(data)
    assert {node.op for node in graph.node} <= _SERVED_OPS
    assert [node.op for node in graph.node].count('Conv2D') == 3
    assert len(data) < 3_000_000


def test_meta_states_what_the_files_are(trained: Trained) -> None:
    meta = json.loads((trained.out / 'meta.json').read_text())
    assert meta == json.loads(json.dumps(trained.meta))
    loaded = keras.models.load_model(trained.out / 'model.keras')
    assert meta['weightsDigest'] == weights_digest(model_weights(loaded))
    assert meta['frozenGraphDigest'] == sha256_file(trained.out / FROZEN_GRAPH)
    assert meta['environment']['sha256'] == environment_digest()
    assert meta['params'] == {**meta['params'], **PARAMS}
    assert meta['sizes']['frozen_graph.pb'] == (trained.out / FROZEN_GRAPH).stat().st_size
    assert meta['evaluation']['images'] == HELDOUT
    assert sum(meta['evaluation']['confusion'].values()) == HELDOUT
    low, high = meta['accuracyInterval95']
    assert low <= meta['accuracy'] <= high
    assert meta['usage']['peakMemoryBytes'] > 100_000_000
    assert meta['machine'] == {**machine_class([]), 'threads': {'intra': 2, 'inter': 1}}
    assert meta['recipe']['sha256'] == code_digest()
    assert meta['startedAt'] <= meta['createdAt']
    assert len(meta['history']) == PARAMS['epochs']


def test_the_weights_digest_follows_its_definition() -> None:
    weights = {'b/kernel': np.array([[1.5, -2]], np.float32), 'a': np.array(3, np.int64)}
    text = b'millrace-weights-v1\n["a","int64",[]]\n' + (3).to_bytes(8, 'little')
    text += b'["b/kernel","float32",[1,2]]\n' + np.array([1.5, -2], '<f4').tobytes()
    assert weights_digest(weights) == hashlib.sha256(text).hexdigest()
    assert weights_digest({'a': weights['a'], 'b/kernel': weights['b/kernel']}) == weights_digest(weights)
    swapped = {**weights, 'b/kernel': weights['b/kernel'].astype('>f4')}
    assert weights_digest(swapped) == weights_digest(weights)
    assert weights_digest({**weights, 'a': np.array(4)}) != weights_digest(weights)
    with pytest.raises(ValueError, match='no identity'):
        weights_digest({})


def test_the_weights_file_holds_the_same_weights(trained: Trained) -> None:
    loaded = keras.models.load_model(trained.out / 'model.keras')
    stored: list[Any] = []
    with h5py.File(trained.out / 'model.weights.h5') as file:
        file.visititems(
            lambda _, item: stored.append(np.asarray(item)) if isinstance(item, h5py.Dataset) else None
        )
    expected = sorted(value.tobytes() for value in model_weights(loaded).values())
    assert sorted(value.tobytes() for value in stored if value.ndim) == expected


def _with_augmentation(sequential: bool) -> Any:
    layers = keras.layers
    chain: list[Any] = [
        layers.RandomFlip(seed=1),
        layers.RandomRotation(0.2, seed=1),
        layers.Conv2D(2, 3, name='conv'),
        layers.RandomZoom(0.2, seed=1),
        layers.GlobalAveragePooling2D(),
        layers.Dense(1, name='out'),
    ]
    if sequential:
        return keras.Sequential([keras.Input((16, 16, 3), name='input'), *chain])
    pixels = x = keras.Input((16, 16, 3), name='input')
    for layer in chain:
        x = layer(x)
    return keras.Model(pixels, x)


@pytest.mark.parametrize('sequential', [False, True])
def test_augmentation_inside_a_model_does_not_reach_its_graph(tmp_path: Path, sequential: bool) -> None:
    model = _with_augmentation(sequential)
    stripped = strip_augmentation(model)
    assert not any('random' in layer.name for layer in stripped.layers)
    images = np.random.default_rng(1).random((4, 16, 16, 3), dtype=np.float32)
    np.testing.assert_array_equal(stripped(images), model(images, training=False))
    text = np.array(['x'] * 4)
    pixels = np.zeros((4, 16, 16, 3), np.uint8)
    samples = Samples(pixels, np.zeros(4, np.uint8), text, text, np.zeros((4, 1), np.float32))
    first = export_model(model, tmp_path / 'first', samples, 2)
    second = export_model(model, tmp_path / 'second', samples, 2)
    graph = tf.compat.v1.GraphDef.FromString((tmp_path / 'first' / FROZEN_GRAPH).read_bytes())
    assert not any('Random' in node.op for node in graph.node)
    assert (first.weights_digest, first.graph_digests) == (
        second.weights_digest,
        second.graph_digests,
    )
    np.testing.assert_allclose(
        _run_frozen(tmp_path / 'first' / FROZEN_GRAPH, images), stripped(images), atol=1e-6
    )


def test_onnx_is_left_to_the_conversion_environment(trained: Trained) -> None:
    recorder = Recorder()
    assert export_onnx(trained.out, recorder.report) is False
    [event] = recorder.of('log')
    assert event['level'] == 'warning'
    assert 'npm run ml:convert' in event['message']
    assert not (trained.out / 'model.onnx').exists()


def test_onnx_is_written_where_a_converter_is_installed(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A package of the converter's name and shape, as this environment must not hold the real one.
    package = tmp_path / 'tf2onnx'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'convert.py').write_text(
        'class Proto:\n'
        '    def __init__(self, text):\n'
        '        self.text = text\n'
        '    def SerializeToString(self, deterministic):\n'
        '        return self.text.encode()\n'
        'def from_graph_def(graph, input_names, output_names, opset):\n'
        '    names = [node.name + ":0" for node in graph.node]\n'
        '    assert set(input_names + output_names) <= set(names)\n'
        '    return Proto(f"{input_names} {output_names} {opset}"), None\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / FROZEN_GRAPH).write_bytes((trained.out / FROZEN_GRAPH).read_bytes())
    assert export_onnx(tmp_path, Recorder().report) is True
    assert (tmp_path / 'model.onnx').read_text() == "['input:0'] ['output_0:0'] 17"
